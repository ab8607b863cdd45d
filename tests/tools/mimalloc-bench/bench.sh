#!/bin/bash
# A stand-in for the runner of mimalloc-bench: our own, with the conventions that
# scripts/mimalloc-bench relies on and nothing else. It is run in out/bench; wants
# ../../build-bench-env.sh and ../../extern; knows allocators by name, and more from
# --external=FILE, `name path` on each line. Each run of a test leaves
# `test allocator time rss user sys faults reclaims` in benchres.csv, and a line of the command time
# before it if the test failed: `strings` works, `broken` does not.
set -eu
[ -f ../../build-bench-env.sh ] && [ -d ../../extern ] || { echo "not in out/bench" >&2; exit 1; }
allocators=""
tests=""
declare -A library
for argument; do
    case $argument in
        sys)
            allocators="$allocators sys"
            library[sys]=""
            ;;
        strings | broken) tests="$tests $argument" ;;
        --external=*)
            while read -r name path; do
                allocators="$allocators $name"
                library[$name]=$path
            done <"${argument#--external=}"
            ;;
        *) echo "warning: unknown option $argument" >&2 ;;
    esac
done
[ -n "$tests" ] || { echo "no tests are specified" >&2; exit 1; }
rm -f benchres.csv
for test in $tests; do
    for allocator in $allocators; do
        # The figures are no measurement; what is checked is that each library was really loaded.
        env LD_PRELOAD="${library[$allocator]}" perl -e 'print join(",", map { "x" x $_ } 1 .. 999);
            open(my $maps, "<", "/proc/self/maps"); my $text = join("", <$maps>);
            print STDERR $text =~ m{/(libhakmem[^\n/]*)} ? "$1\n" : "none\n"' \
            >"$test-$allocator-out.txt" 2>"$test-$allocator-library.txt"
        [ "$test" != broken ] || echo "Command exited with non-zero status 1" >>benchres.csv
        echo "$test $allocator 0.01 2000 0.00 0.00 0 100" >>benchres.csv
    done
done
cat benchres.csv
