#!/bin/bash
# clang: C++ compiled to the same object by each version, and what it made run.
# needs: clang++-14 clang++-19 g++
# processes: clang x86_64-linux-gnu-ld.bfd program
. "$REAL/under.sh"

for version in 14 19; do
    under "clang++-$version" -std=c++17 -O2 -c -o "out/$version.o" "$REAL/work.cc" &&
        under "clang++-$version" -pthread -o program "out/$version.o" && under ./program || exit
done
