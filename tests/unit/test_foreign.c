// test_foreign.c: the table of call sites against a plain count, alone and with threads.
#define _GNU_SOURCE 1
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "foreign.h"
#include "hakmem.h"
#include <seam/sanitizer.h>

enum { TABLE_SITES = 256, THREADS = 4, ROUNDS = 20000 };

static const void *site(unsigned i)
{
    return (const void *)(uintptr_t)(0x7f0000001000 + (uintptr_t)i * 37);
}

// Each test runs in a child: the table is never emptied.
static void run(void (*body)(const void *), const void *argument)
{
    struct capture capture;
    run_in_child(&capture, body, argument);
    assert_string_equal(capture.text, "");
    assert_exited(&capture, 0);
}

static void few_sites(const void *argument)
{
    (void)argument;
    const void *where = NULL;
    uint64_t frees = 0;
    CHILD_CHECK(hak_foreign_total() == 0);
    CHILD_CHECK(!hak_foreign_site(0, &where, &frees));
    for (unsigned i = 1; i <= 9; i++)
        for (unsigned n = 0; n < i * 3; n++)
            hak_foreign_count(site(i));
    CHILD_CHECK(hak_foreign_total() == 3 * 45);
    for (unsigned rank = 0; rank < 9; rank++) {
        CHILD_CHECK(hak_foreign_site(rank, &where, &frees));
        CHILD_CHECK(where == site(9 - rank));
        CHILD_CHECK(frees == (9 - rank) * 3);
    }
    CHILD_CHECK(!hak_foreign_site(9, &where, &frees));
    CHILD_CHECK(!hak_foreign_site(UINT32_MAX, &where, &frees));
}

static void equal_counts(const void *argument)
{
    (void)argument;
    bool seen[20] = { false };
    for (unsigned i = 0; i < 20; i++)
        hak_foreign_count(site(i));
    for (unsigned rank = 0; rank < 20; rank++) {
        const void *where = NULL;
        uint64_t frees = 0;
        CHILD_CHECK(hak_foreign_site(rank, &where, &frees));
        CHILD_CHECK(frees == 1);
        unsigned i = (unsigned)(((uintptr_t)where - (uintptr_t)site(0)) / 37);
        CHILD_CHECK(i < 20 && where == site(i) && !seen[i]);
        seen[i] = true;
    }
}

// More sites than the table holds: none is counted wrongly, none is lost from the total.
static void overflow(const void *argument)
{
    (void)argument;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 4 * TABLE_SITES; i++)
            hak_foreign_count(site(i));
    hak_foreign_count(NULL);
    CHILD_CHECK(hak_foreign_total() == 8 * TABLE_SITES + 1);
    unsigned listed = 0;
    const void *where = NULL;
    uint64_t frees = 0;
    for (; hak_foreign_site(listed, &where, &frees); listed++) {
        CHILD_CHECK(frees == 2);
        CHILD_CHECK(where != NULL);
    }
    CHILD_CHECK(listed > TABLE_SITES / 2 && listed <= TABLE_SITES);
}

static void *count_all(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (unsigned n = 0; n < ROUNDS; n++)
        hak_foreign_count(site((n * 7 + seed) % 64));
    return NULL;
}

// Threads that race for entries agree on one entry per site.
static void threads(const void *argument)
{
    (void)argument;
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHILD_CHECK(pthread_create(&thread[i], NULL, count_all, (void *)i) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHILD_CHECK(pthread_join(thread[i], NULL) == 0);
    CHILD_CHECK(hak_foreign_total() == (uint64_t)THREADS * ROUNDS);
    uint64_t sum = 0;
    unsigned listed = 0;
    const void *where = NULL;
    uint64_t frees = 0;
    for (; hak_foreign_site(listed, &where, &frees); listed++)
        sum += frees;
    CHILD_CHECK(listed == 64);
    CHILD_CHECK(sum == (uint64_t)THREADS * ROUNDS);
}

// A library whose name has what CSV and JSON would read as their own: it is not written.
static void odd_name(const void *library)
{
    char folder[] = "/tmp/test_foreign.XXXXXX", path[64], line[96];
    static char report[1 << 16];
    struct stat status;
    CHILD_CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/a,\"b\\\nc.so", folder);
    int from = open(library, O_RDONLY | O_CLOEXEC), to = creat(path, 0700);
    CHILD_CHECK(from >= 0 && to >= 0 && fstat(from, &status) == 0);
    char *contents = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, from, 0);
    CHILD_CHECK(contents != MAP_FAILED);
    CHILD_CHECK(write(to, contents, (size_t)status.st_size) == status.st_size);
    close(to);
    void *copy = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    unlink(path);
    rmdir(folder);
    struct link_map *map = NULL;
    CHILD_CHECK(copy != NULL && dlinfo(copy, RTLD_DI_LINKMAP, &map) == 0);
    sanitize_defined(map, sizeof *map); // by the loader, which is not instrumented
    sanitize_defined(map->l_name, strlen(path) + 1);
    hak_foreign_count(dlsym(copy, "_cmocka_run_group_tests"));
    int fd = memfd_create("report", MFD_CLOEXEC);
    hak_print_stats_csv(fd);
    CHILD_CHECK(pread(fd, report, sizeof report - 1, 0) > 0);
    snprintf(line, sizeof line, "\nforeign,%s/a??b??c.so+0x", folder);
    CHILD_CHECK(strstr(report, line) != NULL);
}

static void test_odd_name(void **state)
{
    (void)state;
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, "_cmocka_run_group_tests");
    if (function == NULL || dladdr(function, &info) == 0)
        skip(); // no library of its own
    run(odd_name, info.dli_fname);
}

static void test_few_sites(void **state)
{
    (void)state;
    run(few_sites, NULL);
}

static void test_equal_counts(void **state)
{
    (void)state;
    run(equal_counts, NULL);
}

static void test_overflow(void **state)
{
    (void)state;
    run(overflow, NULL);
}

static void test_threads(void **state)
{
    (void)state;
    run(threads, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_sites), cmocka_unit_test(test_equal_counts),
        cmocka_unit_test(test_overflow),  cmocka_unit_test(test_threads),
        cmocka_unit_test(test_odd_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
