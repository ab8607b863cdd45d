// test_minimize.c: the minimiser as a program, on targets with a planted bug: what is left is the
// known minimum, it still fails, and inputs that cannot be shrunk are refused with a reason and
// left as they are.
//
// The bugs: that of fuzz_canary, a resize that loses a byte; and the allocator with the order of
// one site weakened (HAK_WEAKEN), which fails under some schedules of two threads.
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../../fuzz/ops.h"

static char folder[64], said[65536];

static const char *path_of(const char *name)
{
    static char paths[4][200];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

// The program OUT/WHAT; the test is skipped where this build does not have it (rules.mk).
static const char *program(const char *out, const char *what)
{
    static char path[2][300];
    static unsigned next;
    const char *build = getenv("BUILD");
    char *p = path[next++ % 2];
    snprintf(p, sizeof path[0], "%s/%s%s/%s", build ? build : "build", out,
             GEOMETRY_SMALL ? "-small" : "", what);
    if (access(p, X_OK) != 0)
        skip();
    return p;
}

// Runs a command of the shell; its output is in `said`. Returns its status.
static int run(const char *format, ...)
{
    char command[1500];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = 0, got;
    char more[4096];
    while ((got = fread(more, 1, sizeof more, pipe)) > 0)
        for (size_t i = 0; i < got && n + 1 < sizeof said; i++)
            said[n++] = more[i] ? more[i] : ' ';
    said[n] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void load(struct ops *result, const char *name)
{
    struct ops_error error;
    if (!ops_load(result, path_of(name), &error))
        fail_msg("%s: %s", name, error.reason);
}

// Fails unless the last command said this.
static void expect_said(const char *text)
{
    if (strstr(said, text) == NULL)
        fail_msg("'%s' is not in:\n%s", text, said);
}

// ---- one thread ----

static const char canary[] = "t0 s1 = malloc 100\n"
                             "t0 s2 = calloc 10 20\n"
                             "t0 s5 = memalign 64 5000\n"
                             "t0 free s1\n"
                             "t0 s9 = malloc 300\n"
                             "t0 touch s9 5\n"
                             "t0 flush\n"
                             "t0 realloc s5 50000\n"
                             "t0 s3 = malloc 64\n"
                             "t0 free s3\n"
                             "t0 audit\n"
                             "t0 touch s5 9\n"
                             "t0 free s5\n";

static void test_canary(void **state)
{
    (void)state;
    struct ops result = { 0 };
    const char *minimize = program("audit-gcc", "minimize/fuzz_canary");
    write_text("canary.ops", canary);
    assert_int_equal(run("%s --out %s --c %s %s 2>&1", minimize, path_of("min.ops"),
                         path_of("min.c"), path_of("canary.ops")),
                     0);
    expect_said("before: 13 operations");
    expect_said("after:  2 operations");
    load(&result, "min.ops");
    assert_int_equal(result.count, 2);
    assert_int_equal(result.list[0].kind, OP_MALLOC);
    assert_int_equal(result.list[1].kind, OP_REALLOC);
    assert_int_equal(result.slots, 1);
    assert_true(result.list[0].size < 5000 && result.list[1].size < 50000);
    // What is left fails in the same way, and cannot be made smaller again.
    assert_int_equal(run("%s %s 2>&1", minimize, path_of("min.ops")), 0);
    expect_said("fails with: contents changed by realloc");
    expect_said("after:  2 operations");
    ops_free(&result);
}

// The C test says what the file says: it fails where the bug is, and passes where it is not.
static void test_c_test(void **state)
{
    (void)state;
    const char *minimize = program("audit-gcc", "minimize/fuzz_canary");
    char out[300];
    snprintf(out, sizeof out, "%.*s/..", (int)(strrchr(minimize, '/') - minimize), minimize);
    write_text("canary.ops", canary);
    assert_int_equal(run("%s --c %s %s 2>&1", minimize, path_of("min.c"), path_of("canary.ops")),
                     0);
    write_text("broken.h", "#include <hakmem.h>\n"
                           "static void *losing_realloc(void *p, size_t n)\n"
                           "{\n"
                           "    unsigned char *q = hak_realloc(p, n);\n"
                           "    if (q && n > 200)\n"
                           "        q[100] ^= 1;\n"
                           "    return q;\n"
                           "}\n"
                           "#define hak_realloc losing_realloc\n");
    const char *compile = "gcc -std=gnu11 -Wall -Wextra -Werror -O1 -Isrc %s%s -o %s %s "
                          "%s/libhakmem-prefixed.a -pthread 2>&1";
    assert_int_equal(run(compile, "", "", path_of("good"), path_of("min.c"), out), 0);
    assert_int_equal(
        run(compile, "-include ", path_of("broken.h"), path_of("bad"), path_of("min.c"), out), 0);
    assert_int_equal(run("%s 2>&1", path_of("good")), 0);
    assert_int_equal(run("%s 2>&1", path_of("bad")), 128 + SIGABRT);
    expect_said("the contents of a block changed");
}

// ---- refusals ----

static void test_refusals(void **state)
{
    (void)state;
    const char *minimize = program("audit-gcc", "minimize/fuzz_canary");
    unlink(path_of("none.ops"));
    write_text("good.ops", "t0 s0 = malloc 8\n");
    assert_int_equal(run("%s --out %s %s 2>&1", minimize, path_of("none.ops"), path_of("good.ops")),
                     1);
    expect_said("good.ops: does not fail here");
    assert_false(exists("none.ops"));
    write_text("cut.ops", "t0 s0 = malloc 8\nt0 s1 = mall");
    assert_int_equal(run("%s --out %s %s 2>&1", minimize, path_of("none.ops"), path_of("cut.ops")),
                     1);
    expect_said("cut.ops: line 2: ");
    // A header that announces more than there is.
    static const uint8_t cut[40] = { 'H', 'A', 'K', 'O', 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9 };
    write_file("cut.bin", cut, sizeof cut);
    assert_int_equal(run("%s %s 2>&1", minimize, path_of("cut.bin")), 1);
    expect_said("cut.bin: does not fail here; read strictly: offset ");
    write_text("other.bin", "nothing of ours");
    assert_int_equal(run("%s %s 2>&1", minimize, path_of("other.bin")), 1);
    expect_said("other.bin: is no input of this target");
    assert_int_equal(run("%s %s 2>&1", minimize, path_of("missing.bin")), 1);
    expect_said("missing.bin: No such file");
    assert_int_equal(run("%s 2>&1", minimize), 2);
    expect_said("usage:");
    assert_int_equal(run("%s --seconds none %s 2>&1", minimize, path_of("good.ops")), 2);
    // A result that cannot be written leaves nothing behind.
    write_text("canary.ops", canary);
    assert_int_equal(
        run("%s --out %s/no/such/folder %s 2>&1", minimize, folder, path_of("canary.ops")), 1);
    expect_said("No such file or directory");
    assert_false(exists("none.ops"));
}

// ---- schedules ----

static const char hand_over[] = "threads 2\n"
                                "t0 s0 = malloc 40\n"
                                "t0 s1 = malloc 40\n"
                                "t0 s2 = malloc 5000\n"
                                "t1 s3 = calloc 2 300\n"
                                "t1 s4 = malloc 100000\n"
                                "t0 barrier\n"
                                "t1 barrier\n"
                                "t1 free s0\n"
                                "t1 free s1\n"
                                "t1 realloc s2 9000\n"
                                "t0 free s3\n"
                                "t0 free s4\n"
                                "t0 flush\n"
                                "t1 flush\n"
                                "t0 s5 = malloc 40\n"
                                "t0 barrier\n"
                                "t1 barrier\n";
#define SCHEDULES 1500u

// A schedule under which the weakened allocator fails: "" if none of those tried does.
static void find_failing(char *path, size_t room, const char *replay)
{
    char name[64];
    mkdir(path_of("seeds"), 0700);
    for (unsigned i = 0; i < SCHEDULES; i++) {
        char text[1000];
        snprintf(text, sizeof text, "strategy pct\nseed %u\n%s", i, hand_over);
        snprintf(name, sizeof name, "seeds/%u.ops", i);
        write_text(name, text);
    }
    run("HAK_WEAKEN=INBOX_PUSH %s %s 2>&1 >/dev/null | tail -1", replay, path_of("seeds"));
    const char *at = strstr(said, "happened in ");
    snprintf(path, room, "%.*s", at ? (int)strcspn(at + 12, "\n") : 0, at ? at + 12 : "");
}

static void test_schedule(void **state)
{
    (void)state;
    char path[300];
    struct ops result = { 0 };
    const char *minimize = program("sched-gcc", "minimize/fuzz_sched");
    const char *replay = program("sched-gcc", "replay/fuzz_sched");
    find_failing(path, sizeof path, replay);
    if (path[0] == 0)
        fail_msg("none of %u schedules fails with a weakened INBOX_PUSH", SCHEDULES);
    assert_int_equal(run("HAK_WEAKEN=INBOX_PUSH %s --out %s --c %s %s 2>&1", minimize,
                         path_of("min.ops"), path_of("min.c"), path),
                     0);
    expect_said("before: 17 operations, 2 threads");
    load(&result, "min.ops");
    // A block of each thread's, freed by the other one, and a stale read of the link between.
    assert_true(result.count <= 12);
    assert_int_equal(result.header.threads, 2);
    assert_int_equal(result.header.strategy, OPS_DECIDED);
    assert_true(result.decision_count > 0 && result.decision_count <= 12);
    assert_int_not_equal(run("HAK_WEAKEN=INBOX_PUSH %s --times 3 %s 2>&1 | grep -a STALE", replay,
                             path_of("min.ops")),
                         1);
    assert_int_equal(run("%s %s 2>&1", replay, path_of("min.ops")), 0); // with all orders in force
    ops_free(&result);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hakmem-test-minimize-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return run("rm -rf %s", folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canary), cmocka_unit_test(test_c_test),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_schedule), // last: the small geometry's alone
    };
    size_t count = sizeof tests / sizeof *tests - !GEOMETRY_SMALL;
    return _cmocka_run_group_tests("tests", tests, count, make_folder, remove_folder);
}
