// test_harden.c: what programs that do wrong (tests/misuse) cannot show: elections between threads,
// pages that are read-only. Each expects what the flavour's bits promise, also that of none.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "empty.h"
#include "hakmem.h"
#include "harden.h"
#include "options.h"
#include "sampled.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

enum { THREADS = 4, ROUNDS = 20000 };

static char *block;
static pthread_barrier_t barrier;

// Clears the live bit of the block once per round; counts how often it was told to be first.
static void *clear_often(void *argument)
{
    unsigned *won = argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            (void)hak_live_set(block);
        pthread_barrier_wait(&barrier);
        *won += hak_live_clear(block) == LIVE_NOW;
    }
    return NULL;
}

static void test_one_free_wins(void **state)
{
    (void)state;
    if (!MITIGATE_STATE)
        skip();
    pthread_t threads[THREADS];
    unsigned won[THREADS] = { 0 }, sum = 0;
    block = hak_malloc(100);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, clear_often, &won[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += won[i];
    }
    assert_int_equal(sum, ROUNDS);
    assert_true(hak_live_set(block));
    hak_free(block);
}

static void test_live_bits(void **state)
{
    (void)state;
    if (!MITIGATE_STATE)
        skip();
    char *blocks[300];
    for (unsigned i = 0; i < 300; i++) {
        blocks[i] = hak_malloc(1 + i * 7);
        assert_true(hak_live_is_set(blocks[i]));
        assert_false(hak_live_is_set(blocks[i] + MALLOC_ALIGN) && i > 2);
    }
    for (unsigned i = 0; i < 300; i++) {
        hak_free(blocks[i]);
        assert_false(hak_live_is_set(blocks[i]));
    }
}

// The table of states is as large as a sixteenth of the blocks: what is given back of them must not
// leave it behind.
static void test_states_of_purged_units(void **state)
{
    (void)state;
    if (!MITIGATE_STATE || UNIT_SIZE / MALLOC_ALIGN < (size_t)sysconf(_SC_PAGESIZE))
        skip();
    enum { BLOCKS = 20000, KEPT = 400 };
    static char *blocks[BLOCKS];
    unsigned gone = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        assert_non_null(blocks[i] = hak_malloc(100));
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
    hak_malloc_trim(0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        assert_false(hak_live_is_set(blocks[i]));
        gone += hak_live_byte(blocks[i])->raw == LIVE_NEVER;
    }
    assert_true(gone > BLOCKS - KEPT - UNIT_SIZE / 100);
}

// Writes what is there already; the compiler does not know.
static void write_first_byte(const void *argument)
{
    char *p = (char *)(uintptr_t)argument;
    char byte = *p;
    __asm__ volatile("" : "+r"(byte));
    *p = byte;
}

static void expect_sealed(const void *p)
{
    struct capture capture;
    run_in_child(&capture, write_first_byte, p);
    bool stopped = WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGSEGV;
    assert_int_equal(stopped, MITIGATE_SEAL);
}

static void *const sealed[] = {
    &hak_options, &hak_class_table, &hak_empty,         &hak_sampled,
    &hak_arena,   &hak_live,        &hak_canary_secret, &hak_zero_width,
};
enum { SEALED = sizeof sealed / sizeof sealed[0] };

static void test_seal(void **state)
{
    (void)state;
    if (MITIGATE_SEAL && sysconf(_SC_PAGESIZE) > (long)SEAL_BYTES)
        skip();
    for (unsigned i = 0; i < SEALED; i++)
        expect_sealed(sealed[i]);
}

// Who can call mprotect does not get the page back either, if the kernel knows how to seal it. The
// page that is sealed to learn that stays until the process ends.
static void test_seal_stays(void **state)
{
    (void)state;
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (!MITIGATE_SEAL || bytes > SEAL_BYTES)
        skip();
    void *page = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    if (syscall(SYS_mseal, page, bytes, 0L) != 0) {
        munmap(page, bytes);
        skip(); // before Linux 6.10
    }
    for (unsigned i = 0; i < SEALED; i++) {
        errno = 0;
        assert_int_equal(mprotect(sealed[i], SEAL_BYTES, PROT_READ | PROT_WRITE), -1);
        assert_int_equal(errno, EPERM);
    }
}

// ---- no random bytes, and a block that is handed out twice ----

static unsigned entropy_calls = UINT32_MAX; // so many more succeed
bool __real_hak_os_entropy(void *out, size_t bytes);
bool __wrap_hak_os_entropy(void *out, size_t bytes);

bool __wrap_hak_os_entropy(void *out, size_t bytes)
{
    return entropy_calls-- != 0 && __real_hak_os_entropy(out, bytes);
}

static void start_without_entropy(const void *unused)
{
    (void)unused;
    entropy_calls = USES_RANDOM; // the generator has its seed
    hak_harden_start();
}

static void test_no_secret(void **state)
{
    (void)state;
    if (!MITIGATE_CANARY)
        skip();
    struct capture capture;
    run_in_child(&capture, start_without_entropy, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: no random bytes from the system for 0x"));
}

// The state of a free block says that it is one's: it is not handed out to a second.
static void take_twice(const void *unused)
{
    (void)unused;
    char *p = hak_malloc(100);
    hak_free(p);
    CHILD_CHECK(hak_live_set(p));
    for (unsigned i = 0; i < 200000; i++) { // until it leaves the quarantine, and is chosen
        char *q = hak_malloc(100);
        CHILD_CHECK(q != p);
        hak_free(q);
    }
}

static void test_taken_twice(void **state)
{
    (void)state;
    if (!MITIGATE_STATE)
        skip();
    struct capture capture;
    run_in_child(&capture, take_twice, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: corrupt record for 0x"));
}

// ---- what else a block is looked at for ----

// Before a block that cannot move serves a smaller request, what is behind it is looked at.
static void resize_overrun(const void *unused)
{
    (void)unused;
    char *p = hak_malloc(100);
    unsigned class_index = hak_tag_of(p);
    hak_harden_resize(p, class_index, 90);
    CHILD_CHECK(hak_harden_usable(p, class_index) == 90);
    p[90] = 1;
    hak_harden_resize(p, class_index, 80);
}

static void test_resize_overrun(void **state)
{
    (void)state;
    if (!MITIGATE_CANARY)
        skip();
    struct capture capture;
    run_in_child(&capture, resize_overrun, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: write past the end of 0x"));
}

// Whatever size is said of what is no block, that it is none is what is told.
static void free_no_block_sized(const void *unused)
{
    (void)unused;
    char *p = hak_arena.base + hak_arena.bytes - UNIT_SIZE;
    CHILD_CHECK(hak_tag_of(p) == TAG_NONE);
    hak_free_sized(p, 10);
}

static void test_no_block_sized(void **state)
{
    (void)state;
    if (!MITIGATE_POINTERS)
        skip();
    struct capture capture;
    run_in_child(&capture, free_no_block_sized, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: free of never allocated 0x"));
}

static int start(void **state)
{
    (void)state;
    hak_free(hak_malloc(1));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_free_wins),  cmocka_unit_test(test_live_bits),
        cmocka_unit_test(test_seal),           cmocka_unit_test(test_seal_stays),
        cmocka_unit_test(test_no_secret),      cmocka_unit_test(test_taken_twice),
        cmocka_unit_test(test_resize_overrun), cmocka_unit_test(test_states_of_purged_units),
        cmocka_unit_test(test_no_block_sized),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
