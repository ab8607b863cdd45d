// Tests of the command hakmem-trace: exit status and messages, and that every seed in the corpus
// can be read and replayed.
#include "support.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static char tool[PATH_MAX + 32];
static char folder[] = "/tmp/hakmem-trace-XXXXXX";

// The tool lies in the folder that the instances' folders lie in.
static int find_tool(void **state)
{
    (void)state;
    char *self = own_path();
    for (unsigned i = 0; i < 4; i++)
        *strrchr(self, '/') = 0;
    snprintf(tool, sizeof tool, "%s/hakmem-trace", self);
    assert_int_equal(access(tool, X_OK), 0);
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char line[100];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line);
}

// Runs the tool in the test's folder; `output` gets both of its outputs. Returns the exit status,
// or -1 if it did not exit.
static int run(const char *arguments, char *output, size_t bytes)
{
    char line[2 * PATH_MAX];
    assert_true((size_t)snprintf(line, sizeof line, "cd %s && exec %s %s %s 2>&1", folder,
                                 under_a_tool() ? getenv("HAK_TEST_UNDER") : "", tool,
                                 arguments) < sizeof line);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t length = fread(output, 1, bytes - 1, pipe);
    output[length] = 0;
    while (fgetc(pipe) != EOF)
        continue;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *arguments, int status, const char *message)
{
    char output[4096];
    int got = run(arguments, output, sizeof output);
    if (got != status || !strstr(output, message))
        print_error("hakmem-trace %s: status %d, not %d; expected \"%s\":\n%s\n", arguments, got,
                    status, message, output);
    assert_int_equal(got, status);
    assert_non_null(strstr(output, message));
}

static void write_file(const char *name, const void *data, size_t bytes)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, bytes, out), bytes);
    assert_int_equal(fclose(out), 0);
}

static const char small[] = "threads 2\nt0 s0 = malloc 100\nt0 s1 = calloc 3 50\nt0 tick 5\n"
                            "t1 realloc s0 70000\nt0 free s1\nt1 exit\n";

static void refuses_wrong_usage(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        const char *message;
    } cases[] = {
        { "", "no command" },
        { "frobnicate x", "no such command: frobnicate" },
        { "info", "wrong number of files for info" },
        { "merge a b", "wrong number of files for merge" },
        { "trim a b", "trim needs --ops" },
        { "info --ops 3 x", "an option means nothing to info" },
        { "cut --skip -1 a b", "not a number in range: -1" },
        { "cut --skip 4294967296 a b", "not a number in range: 4294967296" },
        { "cut --skip 1x a b", "not a number in range: 1x" },
        { "cut --thread 65535 a b", "not a number in range: 65535" },
        { "trim --ops 0 a b", "not a number in range: 0" },
        { "replay --fill some a", "no such way to fill: some" },
        { "replay --repeat", "wrong option" },
        { "info --no-such-option x", "wrong option" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(cases[i].arguments, 2, cases[i].message);
    expect("--help", 0, "usage: hakmem-trace");
}

static void refuses_bad_files(void **state)
{
    (void)state;
    static const char nonsense[] = "threads 1\nt0 s0 = malloc 1\nt0 free s0\nt0 free s0\n";
    write_file("empty", "", 0);
    write_file("nonsense", nonsense, sizeof nonsense - 1);
    write_file("cut.hkr", "HAKMEMRC\1\0", 10);
    write_file("good", small, sizeof small - 1);
    expect("check missing", 1, "missing: ");
    expect("check .", 1, "no regular file");
    expect("check empty", 1, "empty: offset 0: the file is empty");
    expect("check cut.hkr", 1, "cut.hkr: offset 10: the file ends inside of the header");
    expect("check nonsense", 1, "operation 2: slot 0 has no block");
    expect("check good nonsense", 1, "good: 6 operations, 2 threads, 2 slots");
    expect("convert good /nowhere/out", 1, "cannot write");
    assert_int_equal(access("/nowhere/out", F_OK), -1);
}

static bool is_link(const char *name)
{
    char path[100], target[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return readlink(path, target, sizeof target) > 0;
}

static void make_link(const char *name, const char *target)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(symlink(target, path), 0);
}

// A device stays what it is: it is written to, and nothing takes its place.
static void keeps_special_files(void **state)
{
    (void)state;
    write_file("good", small, sizeof small - 1);
    make_link("null", "/dev/null");
    make_link("full", "/dev/full");
    expect("convert good null", 0, "null: 6 operations");
    assert_true(is_link("null"));
    expect("convert good full", 1, "full: cannot write: No space left on device");
    assert_true(is_link("full"));
    expect("text good >full", 1, "");
    expect("info good >full", 1, "");
}

static void commands_work_together(void **state)
{
    (void)state;
    if (under_a_tool())
        skip(); // a replay starts the program anew, which only a kernel does
    write_file("good", small, sizeof small - 1);
    expect("convert good good.hkt", 0, "good.hkt: 6 operations, 2 threads, 2 slots");
    expect("convert --records good.hkt good.hkf", 0, "6 operations");
    expect("text good.hkf", 0, "t1 realloc s0 70000");
    expect("info good.hkt", 0, "peak            70150 bytes at operation 3, 2 blocks");
    expect("info good.hkt", 0, "left at the end 70000 bytes in 1 blocks");
    expect("cut --thread 1 --free-at-end good.hkt one.hkt", 0, "5 operations, 1 threads, 1 slots");
    expect("merge two.hkt good.hkt one.hkt", 0, "10 operations, 3 threads, 3 slots");
    expect("info good.hkt", 0, "2 at a time at most, 2 in all; replay --threads: 2");
    expect("info two.hkt", 0, "3 at a time at most, 4 in all; replay --threads: 3");
    expect("merge --in-turn turn.hkt one.hkt good.hkt", 0, "10 operations, 3 threads");
    expect("info turn.hkt", 0, "2 at a time at most, 4 in all; replay --threads: 3");
    expect("merge --in-turn turn.hkt one.hkt one.hkt", 0, "9 operations, 2 threads");
    expect("info turn.hkt", 0, "1 at a time at most, 4 in all; replay --threads: 2");
    expect("trim --ops 100 two.hkt three.hkt", 0, "3 threads, 3 slots");
    expect("replay --threads --fill all --repeat 3 two.hkt", 0, "two.hkt: 30 operations");
    expect("replay --json two.hkt", 0, "\"operations\": 10");
}

static void seeds_replay(void **state)
{
    (void)state;
    if (under_a_tool())
        skip(); // as above
    glob_t seeds;
    char here[PATH_MAX];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(glob("corpus/trace/seed/*.hkt", 0, NULL, &seeds), 0);
    assert_true(seeds.gl_pathc > 0);
    for (size_t i = 0; i < seeds.gl_pathc; i++) {
        char arguments[PATH_MAX + 100];
        snprintf(arguments, sizeof arguments, "replay --threads --fill all %s/%s", here,
                 seeds.gl_pathv[i]);
        expect(arguments, 0, " operations/s");
    }
    globfree(&seeds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_wrong_usage), cmocka_unit_test(refuses_bad_files),
        cmocka_unit_test(keeps_special_files), cmocka_unit_test(commands_work_together),
        cmocka_unit_test(seeds_replay),
    };
    return cmocka_run_group_tests(tests, find_tool, remove_folder);
}
