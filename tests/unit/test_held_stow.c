// test_held_stow.c: where the memory of held blocks is meanwhile, and a system that refuses to move
// it there or back.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "held.h"
#include "pool.h"

static struct held held;

// Where the memory of the block that was held last is, or NULL; what the system refuses.
static char *stowed;
static bool refuse_commit, refuse_stow, refuse_unstow, refuse_unstow_none, refuse_advice;

bool __real_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes);
void *__real_hak_os_stow(void *p, size_t bytes);
void *__wrap_hak_os_stow(void *p, size_t bytes);
bool __real_hak_os_unstow(void *p, void *from, size_t bytes);
bool __wrap_hak_os_unstow(void *p, void *from, size_t bytes);
bool __real_hak_os_unstow_none(void *from, size_t bytes);
bool __wrap_hak_os_unstow_none(void *from, size_t bytes);

bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    return !refuse_commit && __real_hak_os_commit(p, bytes);
}

void *__wrap_hak_os_stow(void *p, size_t bytes)
{
    return stowed = refuse_stow ? NULL : __real_hak_os_stow(p, bytes);
}

bool __wrap_hak_os_unstow(void *p, void *from, size_t bytes)
{
    if (!refuse_unstow)
        return __real_hak_os_unstow(p, from, bytes);
    assert_true(__real_hak_os_unstow_none(from, bytes));
    return false;
}

bool __wrap_hak_os_unstow_none(void *from, size_t bytes)
{
    return !refuse_unstow_none && __real_hak_os_unstow_none(from, bytes);
}

int __real_madvise(void *p, size_t bytes, int advice);
int __wrap_madvise(void *p, size_t bytes, int advice);

// As a kernel before 5.18 does for locked pages.
int __wrap_madvise(void *p, size_t bytes, int advice)
{
    if (!refuse_advice)
        return __real_madvise(p, bytes, advice);
    errno = EINVAL;
    return -1;
}

static int start(void **state)
{
    (void)state;
    hak_classes_start((size_t)128 << 10);
    if (!hak_arena_start(HELD_ARENA_SHARE * HELD_WARM_UNITS * UNIT_SIZE))
        return -1;
    hak_superslabs_start();
    hak_pool_start();
    return 0;
}

static size_t end_of(const struct slab *s)
{
    return own_load(&s->units) * UNIT_SIZE;
}

// A large block that was written to.
static struct slab *block(unsigned units)
{
    struct run r;
    assert_true(hak_pool_acquire(units, units, 1, POOL_EXHAUSTIVE, &r) != POOL_NONE);
    struct slab *s = hak_slab_at(r.unit);
    hak_slab_begin_block(s, SLAB_LARGE, units, units * UNIT_SIZE);
    sanitize_open(hak_slab_base(s), end_of(s));
    memset(hak_slab_base(s), 1, end_of(s));
    return s;
}

static struct slab *take(uint32_t units)
{
    struct held_request want = {
        .state = SLAB_LARGE, .units = units, .end = units * UNIT_SIZE, .align = 1, .zero = true
    };
    return hak_held_take(&held, &want);
}

static void read_byte(const void *p)
{
    __asm__ volatile("" : : "r"(*(const char *)p));
}

static void expect_zero(const struct slab *s)
{
    for (size_t b = 0; b < end_of(s); b++)
        if (hak_slab_base(s)[b] != 0)
            fail_msg("byte %zu is %d", b, hak_slab_base(s)[b]);
}

static size_t pages_in_memory(const char *p, size_t bytes)
{
    static unsigned char there[16 * UNIT_SIZE / 4096];
    size_t found = 0;
    assert_true(hak_os_resident(p, bytes, there));
    for (size_t i = 0; i < bytes / os_page_size(); i++)
        found += there[i] & 1;
    return found;
}

static void expect_inaccessible(const struct slab *s)
{
    struct capture capture;
    run_in_child(&capture, read_byte, hak_slab_base(s));
    assert_true(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGSEGV);
}

// The memory of a held block is elsewhere: it comes back with the block, all of it, and goes with
// the block when that is not wanted any more.
static void test_stowed(void **state)
{
    (void)state;
    enum { UNITS = 5 };
    struct slab *s[3];
    if (!MITIGATE_QUARANTINE)
        skip();
    for (unsigned i = 0; i < 3; i++)
        s[i] = block(UNITS);
    size_t pages = UNITS * UNIT_SIZE / os_page_size();
    assert_true(hak_held_add(&held, s[0], end_of(s[0]), 0));
    char *first = stowed;
    if (first == NULL)
        skip(); // a kernel before 5.7
    assert_int_equal(pages_in_memory(first, UNITS * UNIT_SIZE), pages);
    expect_inaccessible(s[0]);
    assert_true(hak_held_add(&held, s[1], end_of(s[1]), 0));
    char *second = stowed;
    assert_ptr_equal(take(UNITS), s[0]);
    assert_int_equal(pages_in_memory(hak_slab_base(s[0]), UNITS * UNIT_SIZE), pages);
    assert_false(os_is_mapped(first));
    expect_zero(s[0]);
    memset(hak_slab_base(s[0]), 1, end_of(s[0]));
    refuse_unstow_none = true; // then it waits
    hak_held_trim(&held, 200, 100);
    hak_held_release(&held, 0);
    assert_int_equal(held.count, 1);
    assert_int_equal(held.warm, UNITS);
    refuse_unstow_none = false;
    hak_held_trim(&held, 200, 100);
    assert_int_equal(held.warm, 0);
    assert_false(os_is_mapped(second));
    expect_inaccessible(s[1]);
    assert_true(hak_held_add(&held, s[2], end_of(s[2]), 0));
    hak_held_release(&held, 0);
    assert_int_equal(held.count, 0);
    assert_false(os_is_mapped(stowed));
    for (unsigned i = 1; i < 3 && FREE_IS_ZERO; i++)
        expect_zero(s[i]);
}

// Where the system does not move memory away it is hidden where it is; what it does not move back
// is gone, and reads as zero.
static void test_stow_refused(void **state)
{
    (void)state;
    struct slab *s[3];
    if (!MITIGATE_QUARANTINE)
        skip();
    for (unsigned i = 0; i < 3; i++)
        s[i] = block(3);
    refuse_stow = true;
    assert_true(hak_held_add(&held, s[0], end_of(s[0]), 0));
    refuse_stow = false;
    expect_inaccessible(s[0]);
    assert_true(hak_held_add(&held, s[1], end_of(s[1]), 0));
    assert_ptr_equal(take(3), s[0]);
    expect_zero(s[0]);
    assert_true(hak_held_add(&held, s[2], end_of(s[2]), 0));
    refuse_unstow = refuse_commit = stowed != NULL;
    assert_true(stowed == NULL || take(3) == NULL);
    expect_inaccessible(s[1]);
    refuse_commit = false;
    assert_ptr_equal(take(3), s[1]);
    refuse_unstow = false;
    expect_zero(s[1]);
    memset(hak_slab_base(s[1]), 1, end_of(s[1]));
    hak_held_release(&held, 0);
}

// A block whose memory is given back stays without access, whatever the kernel refuses.
static void test_hidden_given_back(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE)
        skip();
    struct slab *s = block(3);
    refuse_stow = refuse_advice = true;
    assert_true(hak_held_add(&held, s, end_of(s), 0));
    hak_held_trim(&held, 200, 100);
    refuse_stow = refuse_advice = false;
    assert_int_equal(held.warm, 0);
    expect_inaccessible(s);
    hak_held_release(&held, 0);
    expect_zero(s);
}

// Stowed memory keeps its contents; the pages it was in are without access until it is back.
static void test_stow(void **state)
{
    (void)state;
    size_t page = os_page_size(), bytes = 6 * page;
    struct capture capture;
    char *p = os_reserve(bytes + page, page);
    assert_true(p != NULL && os_commit(p, bytes + page));
    memset(p, 0x5a, bytes + page);
    errno = 77;
    char *place = os_stow(p, bytes);
    assert_int_equal(errno, 77);
    if (place == NULL) {
        memset(p, 0, bytes);
        assert_true(os_release(p, bytes + page));
        skip(); // a kernel before 5.7
    }
    assert_true(os_is_mapped(place) && os_is_mapped(place + bytes - page));
    assert_false(os_is_mapped(place - page) || os_is_mapped(place + bytes));
    assert_true(p - place >= (ptrdiff_t)1 << 40); // from everything that the kernel placed itself
    run_in_child(&capture, read_byte, p);
    assert_true(WIFSIGNALED(capture.status));
    run_in_child(&capture, read_byte, p + bytes - 1);
    assert_true(WIFSIGNALED(capture.status));
    assert_int_equal(p[bytes], 0x5a);
    assert_true(os_unstow(p, place, bytes));
    assert_int_equal(errno, 77);
    for (size_t i = 0; i < bytes + page; i++)
        assert_int_equal(p[i], 0x5a);
    assert_false(os_is_mapped(place));
    place = os_stow(p, bytes);
    assert_true(place != NULL && os_unstow_none(place, bytes));
    assert_false(os_is_mapped(place));
    assert_true(os_commit(p, bytes) && p[0] == 0);
    if (UNDER_VALGRIND) // whose mremap ends with an internal error then
        skip();
    // What is not there any more cannot come back.
    assert_true(os_protect_none(p, bytes));
    assert_false(os_unstow(p, place, bytes));
    run_in_child(&capture, read_byte, p);
    assert_true(WIFSIGNALED(capture.status));
    assert_true(os_commit(p, bytes));
    assert_true(os_release(p, bytes + page));
}

// An address that is wished for and taken: what lies there stays, and nothing is put beside others.
static void test_stow_place_taken(void **state)
{
    (void)state;
    size_t bytes = 4 * os_page_size();
    char *p = os_reserve(bytes, os_page_size());
    assert_true(p != NULL && os_commit(p, bytes));
    memset(p, 0, bytes);
    char *place = os_stow(p, bytes);
    assert_true(place == NULL || os_unstow(p, place, bytes));
    char *taken = mmap(place, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (place == NULL || taken != place)
        skip(); // a kernel before 5.7, or a race detector that has no such addresses
    memset(taken, 0x5a, bytes);
    assert_null(os_stow(p, bytes));
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(taken[i], 0x5a);
        assert_int_equal(p[i], 0);
    }
    memset(p, 1, bytes);
    assert_int_equal(munmap(taken, bytes), 0);
    assert_true(os_release(p, bytes));
}

static void stow_limited(const void *resource)
{
    struct rlimit limit = { (rlim_t)1 << 60, RLIM_INFINITY };
    size_t bytes = 4 * os_page_size();
    char *p = os_reserve(bytes, os_page_size());
    CHILD_CHECK(p != NULL && os_commit(p, bytes));
    memset(p, 0, bytes);
    CHILD_CHECK(setrlimit(*(const int *)resource, &limit) == 0);
    CHILD_CHECK(os_stow(p, bytes) == NULL);
    for (size_t i = 0; i < bytes; i++)
        CHILD_CHECK(p[i] == 0);
    memset(p, 1, bytes);
}

// What is stowed has addresses twice and counts as writable: not where these are limited.
static void test_stow_limited(void **state)
{
    (void)state;
    static const int resources[] = { RLIMIT_AS, RLIMIT_DATA };
    for (unsigned i = 0; i < 2; i++) {
        struct capture capture;
        run_in_child(&capture, stow_limited, &resources[i]);
        assert_exited(&capture, 0);
    }
}

// However often locked pages are stowed, no more are locked than there are.
static void test_stow_locked(void **state)
{
    (void)state;
    size_t bytes = 4 * os_page_size();
    unsigned long before = locked_kib();
    char *p = os_reserve(bytes, os_page_size());
    assert_true(p != NULL && os_commit(p, bytes));
    if (mlock(p, bytes) != 0)
        skip(); // RLIMIT_MEMLOCK
    for (unsigned i = 0; i < 3; i++) {
        memset(p, 0, bytes);
        char *place = os_stow(p, bytes);
        assert_true(place == NULL || os_unstow(p, place, bytes));
    }
    assert_true(os_release(p, bytes));
    assert_int_equal(locked_kib(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stow),
        cmocka_unit_test(test_stow_place_taken),
        cmocka_unit_test(test_stow_limited),
        cmocka_unit_test(test_stow_locked),
        cmocka_unit_test(test_stowed),
        cmocka_unit_test(test_stow_refused),
        cmocka_unit_test(test_hidden_given_back),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
