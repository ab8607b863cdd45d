// test_secure.c: a process that gained privileges at exec reads no environment.
//
// A copy of this program, made setuid root and started by another user, must not notice a
// malformed HAKMEM_OPTIONS; the same copy without the bit must. Needs root and a file system that
// honours the bit: skipped elsewhere.
#include "api.h"

#include <grp.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { NOBODY = 65534 };
#define MARK "no-such-option"

static char folder[] = "/tmp/hakmem-secure-XXXXXX";
static char program[sizeof folder + 16];

static bool copy_self(void)
{
    static char buffer[KIB(64)];
    snprintf(program, sizeof program, "%s/program", folder);
    int from = open(own_path(), O_RDONLY);
    int to = open(program, O_WRONLY | O_CREAT | O_EXCL, 0755);
    ssize_t n;
    bool good = from >= 0 && to >= 0;
    while (good && (n = read(from, buffer, sizeof buffer)) != 0)
        good = n > 0 && write(to, buffer, (size_t)n) == n;
    close(from);
    close(to);
    return good;
}

static int prepare(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) != 0 || !copy_self())
        return -1;
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    unlink(program);
    return rmdir(folder);
}

// Runs the copy as another user; its standard error goes to `text`. Returns its exit status.
static int run_as_nobody(char *text, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = { program, (char[]){ "--allocate" }, NULL };
        char *environment[] = { (char[]){ "HAKMEM_OPTIONS=" MARK "=1" }, NULL };
        dup2(ends[1], 2);
        if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
            setresuid(NOBODY, NOBODY, NOBODY) != 0)
            _exit(98);
        execve(program, arguments, environment);
        _exit(97);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t n;
    while ((n = read(ends[0], text + used, size - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// What the copy does: allocate; 1 if the kernel says that it gained privileges, 0 if not.
static int allocate(void)
{
    void *p = hak_malloc(100);
    if (p == NULL)
        return 2;
    hak_free(p);
    return getauxval(AT_SECURE) != 0 ? 1 : 0;
}

static void without_privileges_the_environment_is_read(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char text[4096];
    assert_int_equal(chmod(program, 0755), 0);
    assert_int_equal(run_as_nobody(text, sizeof text), 0);
    assert_non_null(strstr(text, MARK));
}

static void setuid_reads_no_environment(void **state)
{
    (void)state;
    struct statvfs file_system;
    assert_int_equal(statvfs(folder, &file_system), 0);
    if (geteuid() != 0 || (file_system.f_flag & ST_NOSUID) != 0)
        skip();
    char text[4096];
    assert_int_equal(chmod(program, 04755), 0);
    assert_int_equal(run_as_nobody(text, sizeof text), 1);
    assert_string_equal(text, "");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--allocate") == 0)
        return allocate();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_privileges_the_environment_is_read),
        cmocka_unit_test(setuid_reads_no_environment),
    };
    return cmocka_run_group_tests_name("api_secure", tests, prepare, clean_up);
}
