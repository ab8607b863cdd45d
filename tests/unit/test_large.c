// test_large.c: large and huge blocks: sizes, alignment, zeroes, growing and shrinking in place,
// moving by remapping, and who of two freers is told.
#define _GNU_SOURCE 1
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "heaps.h"
#include "fence.h"
#include "large.h"
#include "meta.h"
#include "pool.h"

enum { SUPERSLABS = 64, THREADS = 4 };

static struct heap *mine; // counts what this thread does

static void start_library(void)
{
    hak_classes_start((size_t)128 << 10);
    assert_true(hak_arena_start(SUPERSLABS * SUPERSLAB_SIZE));
    hak_superslabs_start();
    hak_pool_start();
    hak_large_start();
    hak_meta_start();
    hak_heaps_start();
    mine = hak_heaps_borrow();
    assert_non_null(mine);
}

// Bytes that a block takes besides those that may be used.
#define GUARD (MITIGATE_GUARDS ? os_page_size() : CANARY_BYTES)

// Freed blocks that the heap keeps, or holds back.
static void end_hold(void)
{
    hak_heap_flush_all(mine);
}

static void expect_nothing_left(void)
{
    end_hold();
    struct large_counts stats = hak_large_live();
    assert_int_equal(stats.large, 0);
    assert_int_equal(stats.huge, 0);
    assert_int_equal(stats.bytes, 0);
    hak_pool_purge(os_clock_ms() + 1000, 0, SIZE_MAX);
    assert_int_equal(hak_superslab_bytes_committed(), 0);
}

static struct slab *record(void *p)
{
    struct slab *s = hak_large_record(p);
    assert_non_null(s);
    assert_true(hak_large_ok(s));
    return s;
}

static void *allocate(size_t n, size_t align, bool zero)
{
    char *p = n <= LARGE_SIZE_MAX && align <= SUPERSLAB_SIZE / 2
                  ? hak_large_alloc(mine, n, align, zero)
                  : hak_huge_alloc(mine, n, align, zero);
    if (p != NULL && zero)
        sanitize_defined(p, n);
    return p;
}

static void fill(char *p, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i += 251)
        p[i] = (char)(i / 251 * 7 + seed);
    p[bytes - 1] = (char)seed;
}

static void check_fill(const char *p, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i += 251)
        if (p[i] != (char)(i / 251 * 7 + seed) && i != bytes - 1)
            fail_msg("byte %zu of %zu changed", i, bytes);
}

static void test_sizes(void **state)
{
    (void)state;
    start_library();
    size_t page = os_page_size();
    for (size_t n = CLASS_SIZE_MAX + 1; n <= 6 * SUPERSLAB_SIZE; n += n / 3 + 1) {
        for (unsigned life = 0; life < 2; life++) { // cold, then warm
            char *p = allocate(n, 1, true);
            assert_non_null(p);
            struct slab *s = record(p);
            assert_int_equal(own_load(&s->bytes), MITIGATE_CANARY ? n : round_up(n, page));
            assert_int_equal(hak_large_usable(n), own_load(&s->bytes));
            assert_int_equal(hak_tag_of(p), n <= LARGE_SIZE_MAX ? TAG_LARGE : TAG_HUGE);
            assert_int_equal(hak_tag_of(p + n - 1), hak_tag_of(p));
            for (size_t i = 0; i < n; i += 509)
                assert_int_equal(p[i], 0);
            assert_int_equal(p[n - 1], 0);
            assert_null(hak_large_record(p + 16));
            assert_null(hak_large_record(p + UNIT_SIZE));
            memset(p, 0xa5, n);
            assert_true(hak_large_free(mine, s));
            end_hold();
            assert_int_equal(hak_tag_of(p), TAG_NONE);
            assert_null(hak_large_record(p));
        }
    }
    expect_nothing_left();
}

static void test_align(void **state)
{
    (void)state;
    start_library();
    for (size_t align = 1; align <= 8 * SUPERSLAB_SIZE; align *= 2) {
        for (size_t n = 1; n <= 3 * SUPERSLAB_SIZE; n = n * 5 + 1) {
            char *odd = allocate(CLASS_SIZE_MAX + 1, 1,
                                 false); // so that not all is aligned by luck
            char *p = allocate(n, align, false);
            assert_true(odd != NULL && p != NULL);
            assert_int_equal((uintptr_t)p % align, 0);
            p[0] = p[n - 1] = 1;
            assert_true(hak_large_free(mine, record(odd)));
            assert_true(hak_large_free(mine, record(p)));
        }
    }
    // A run of one SuperSlab is aligned to one at most: the huge tier serves this.
    assert_null(hak_large_alloc(mine, 100, 2 * SUPERSLAB_SIZE, false));
    expect_nothing_left();
}

static void test_free_twice(void **state)
{
    (void)state;
    start_library();
    struct slab *s = record(allocate(LARGE_SIZE_MAX, 1, false));
    assert_true(hak_large_free(mine, s));
    assert_false(hak_large_free(mine, s));
    s = record(allocate(2 * SUPERSLAB_SIZE, 1, false));
    assert_true(hak_large_free(mine, s));
    assert_false(hak_large_free(mine, s));
    expect_nothing_left();
}

static void test_exhaustion(void **state)
{
    (void)state;
    start_library();
    assert_null(hak_huge_alloc(mine, SUPERSLABS * SUPERSLAB_SIZE + 1, 1, false));
    assert_null(hak_huge_alloc(mine, SIZE_MAX / 2, 1, false));
    assert_null(hak_huge_alloc(mine, SUPERSLAB_SIZE, (size_t)1 << 62, false));
    char *all = hak_huge_alloc(mine, SUPERSLABS * SUPERSLAB_SIZE - GUARD, 1, false);
    assert_ptr_equal(all, hak_arena.base);
    assert_null(hak_huge_alloc(mine, 1, 1, false));
    assert_null(hak_large_alloc(mine, CLASS_SIZE_MAX + 1, 1, false));
    assert_false(hak_large_resize(mine, record(all), SUPERSLABS * SUPERSLAB_SIZE + 1));
    assert_true(hak_large_free(mine, record(all)));
    expect_nothing_left();
}

// Random resizing in place, with neighbours in the way: contents stay, sizes follow.
static void test_resize(void **state)
{
    (void)state;
    enum { BLOCKS = 12 };
    char *block[BLOCKS] = { NULL };
    size_t bytes[BLOCKS] = { 0 };
    unsigned seed = 1, resized = 0, refused = 0;
    start_library();
    for (int step = 0; step < 3000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % BLOCKS;
        size_t n = CLASS_SIZE_MAX + 1 + (size_t)rand_r(&seed) % (3 * SUPERSLAB_SIZE);
        if (rand_r(&seed) % 2 == 0)
            n = CLASS_SIZE_MAX + 1 + n % (LARGE_SIZE_MAX - CLASS_SIZE_MAX);
        if (block[i] == NULL) {
            block[i] = allocate(n, 1, false);
            if (block[i] == NULL)
                continue;
        } else if (rand_r(&seed) % 4 != 0) {
            check_fill(block[i], bytes[i], i);
            bool large = bytes[i] <= LARGE_SIZE_MAX;
            bool done = hak_large_resize(mine, record(block[i]), n);
            if (large != (n <= LARGE_SIZE_MAX))
                assert_false(done); // a block keeps its tier
            else if (n <= bytes[i])
                assert_true(done);
            resized += done;
            refused += !done;
            check_fill(block[i], done && n < bytes[i] ? n : bytes[i], i);
            if (!done)
                continue;
        } else {
            check_fill(block[i], bytes[i], i);
            assert_true(hak_large_free(mine, record(block[i])));
            block[i] = NULL;
            continue;
        }
        bytes[i] = n;
        fill(block[i], n, i);
        assert_int_equal(own_load(&record(block[i])->bytes), hak_large_usable(n));
        size_t least = round_up(round_up(n, os_page_size()) + GUARD, UNIT_SIZE) / UNIT_SIZE;
        size_t random = MITIGATE_GUARDS ? HELD_SPARE_UNITS : 0;
        assert_in_range(own_load(&record(block[i])->units), least, least + random);
    }
    assert_true(resized > 100 && refused > 100);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (block[i] != NULL)
            assert_true(hak_large_free(mine, record(block[i])));
    expect_nothing_left();
}

// A buffer that grows page by page: its guard moves some times, and is always there.
static void test_growth(void **state)
{
    (void)state;
    start_library();
    if (!MITIGATE_GUARDS)
        skip();
    size_t page = os_page_size(), n = LARGE_SIZE_MAX / 4, moves = 0, steps = 0;
    char *p = allocate(n, 1, false);
    struct slab *s = record(p);
    while (n < LARGE_SIZE_MAX - page) {
        size_t units = own_load(&s->units), open = hak_fence_open_bytes(s);
        n += page;
        if (!hak_large_resize(mine, s, n))
            break;
        p[n - 1] = 1;
        steps++;
        moves += units == own_load(&s->units) && hak_fence_open_bytes(s) != open;
        assert_in_range(hak_fence_open_bytes(s), round_up(n, page), 2 * round_up(n, page));
        assert_true(hak_fence_open_bytes(s) <= own_load(&s->units) * UNIT_SIZE - page);
    }
    assert_true(moves <= steps / 2 + 2); // how far it grows in place is left to chance
    assert_true(hak_large_resize(mine, s, LARGE_SIZE_MAX / 4)); // then it follows the end
    assert_int_equal(hak_fence_open_bytes(s), LARGE_SIZE_MAX / 4);
    assert_true(hak_large_free(mine, s));
    expect_nothing_left();
}

static void test_move(void **state)
{
    (void)state;
    start_library();
    size_t n = 3 * SUPERSLAB_SIZE + 5;
    char *p = allocate(n, 1, false), *large = allocate(LARGE_SIZE_MAX, 1, false);
    fill(p, n, 3);
    assert_null(hak_huge_move(mine, record(large), 2 * SUPERSLAB_SIZE)); // not of this tier
    assert_null(hak_huge_move(mine, record(p), n / 2));                  // only to grow
    char *to = hak_huge_move(mine, record(p), 2 * n);
    if (to == NULL) { // the system cannot: the block is as it was
        check_fill(p, n, 3);
    } else {
        check_fill(to, n, 3);
        assert_int_equal(own_load(&record(to)->bytes), hak_large_usable(2 * n));
        to[2 * n - 1] = 1;
        assert_true(hak_large_free(mine, record(to)));
    }
    assert_true(hak_large_free(mine, record(p)));
    assert_true(hak_large_free(mine, record(large)));
    expect_nothing_left();
    // All of that memory serves again, zero where asked for.
    char *all = allocate(SUPERSLABS * SUPERSLAB_SIZE - GUARD, 1, true);
    assert_non_null(all);
    for (size_t i = 0; i < SUPERSLABS * SUPERSLAB_SIZE - GUARD; i += 4096)
        assert_int_equal(all[i], 0);
    assert_true(hak_large_free(mine, record(all)));
}

static void test_ok_sees(void **state)
{
    (void)state;
    start_library();
    struct slab *s = record(allocate(LARGE_SIZE_MAX, 1, false));
    uint32_t unit = hak_slab_unit(s), units = own_load(&s->units);
    struct slab saved = *s;
#define EXPECT_SEEN(change, undo)      \
    do {                               \
        change;                        \
        assert_false(hak_large_ok(s)); \
        undo;                          \
        assert_true(hak_large_ok(s));  \
    } while (0)
    EXPECT_SEEN(own_store(&s->units, 0), *s = saved);
    EXPECT_SEEN(own_store(&s->units, units + 1), *s = saved);
    EXPECT_SEEN(own_store(&s->units, SUPERSLAB_UNITS + 1), *s = saved);
    EXPECT_SEEN(own_store(&s->bytes, units * UNIT_SIZE + 1), *s = saved);
    EXPECT_SEEN(init_cell(&s->live, 0), *s = saved);
    EXPECT_SEEN(own_store(&s->state, SLAB_HUGE), *s = saved);
    EXPECT_SEEN(hak_set_tags(unit + units - 1, 1, TAG_NONE),
                hak_set_tags(unit + units - 1, 1, TAG_LARGE));
    assert_true(hak_large_free(mine, s));
}

// ---- threads ----

static pthread_barrier_t barrier;
static struct slab *contested;

static void *free_contested(void *argument)
{
    uintptr_t won = 0;
    (void)argument;
    for (int round = 0; round < 200; round++) {
        pthread_barrier_wait(&barrier); // the block is there
        won += hak_large_free(NULL, contested);
        pthread_barrier_wait(&barrier); // all have tried
    }
    return (void *)won;
}

// Of several threads that free the same block exactly one succeeds.
static void test_racing_frees(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    uintptr_t won = 0;
    start_library();
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, free_contested, NULL), 0);
    for (int round = 0; round < 200; round++) {
        contested = record(allocate(round % 2 == 0 ? LARGE_SIZE_MAX : SUPERSLAB_SIZE, 1, false));
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *result;
        assert_int_equal(pthread_join(thread[i], &result), 0);
        won += (uintptr_t)result;
    }
    assert_int_equal(won, 200);
    expect_nothing_left();
}

// ---- a system that refuses what a free asks for ----

static bool refuse, refuse_commit;
static void *stowed;
bool __real_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_commit(void *p, size_t bytes);
bool __real_hak_os_protect_none(void *p, size_t bytes);
bool __wrap_hak_os_protect_none(void *p, size_t bytes);
bool __real_hak_os_hide(void *p, size_t bytes);
bool __wrap_hak_os_hide(void *p, size_t bytes);

bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    return !refuse && !refuse_commit && __real_hak_os_commit(p, bytes);
}

bool __wrap_hak_os_protect_none(void *p, size_t bytes)
{
    return !refuse && __real_hak_os_protect_none(p, bytes);
}

bool __wrap_hak_os_hide(void *p, size_t bytes)
{
    return !refuse && __real_hak_os_hide(p, bytes);
}

void *__real_hak_os_stow(void *p, size_t bytes);
void *__wrap_hak_os_stow(void *p, size_t bytes);

void *__wrap_hak_os_stow(void *p, size_t bytes)
{
    return stowed = refuse ? NULL : __real_hak_os_stow(p, bytes);
}

// A refusal loses both: as a kernel that has no mapping left does.
static bool refuse_unstow;
bool __real_hak_os_unstow(void *p, void *from, size_t bytes);
bool __wrap_hak_os_unstow(void *p, void *from, size_t bytes);
bool __wrap_hak_os_unstow(void *p, void *from, size_t bytes)
{
    if (!refuse_unstow)
        return __real_hak_os_unstow(p, from, bytes);
    assert_true(hak_os_unstow_none(from, bytes) && __real_hak_os_protect_none(p, bytes));
    return false;
}

// A guard that cannot be made accessible: the units are held until it can.
static void test_guard_refused(void **state)
{
    (void)state;
    start_library();
    if (!MITIGATE_GUARDS)
        skip();
    for (unsigned round = 0; round < 20; round++) {
        struct slab *s = record(allocate(LARGE_SIZE_MAX / 2, 1, false));
        refuse = true;
        assert_true(hak_large_free(mine, s));
        refuse = false;
    }
    expect_nothing_left();
}

// A new block has the memory of the one that was freed last, whatever the system does with it.
static void test_borrows(void **state)
{
    (void)state;
    if (!MITIGATE_QUARANTINE || !MITIGATE_GUARDS)
        skip();
    size_t n = LARGE_SIZE_MAX / 2, found = 0;
    unsigned char there[LARGE_SIZE_MAX / 4096];
    for (unsigned lost = 0; lost < 3; lost++) { // nothing; the memory; that and access
        start_library();
        char *p = allocate(n, 1, false);
        fill(p, n, 1);
        assert_true(hak_large_free(mine, record(p)));
        refuse_unstow = lost > 0;
        refuse_commit = lost > 1;
        char *q = allocate(n, 1, true);
        refuse_unstow = refuse_commit = false;
        if (lost > 1 && stowed != NULL) {
            assert_null(q);
            q = allocate(n, 1, true);
        }
        assert_true(q != NULL && (q != p || lost > 1));
        assert_true(hak_os_resident(q, n, there));
        for (size_t i = 0; i < n / os_page_size(); i++)
            found += there[i] & 1;
        if (lost == 0 && stowed != NULL)
            assert_int_equal(found, n / os_page_size());
        for (size_t i = 0; i < n; i += 512)
            assert_int_equal(q[i], 0);
        fill(q, n, 2);
        assert_true(hak_large_free(mine, record(q)));
        expect_nothing_left();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_align),
        cmocka_unit_test(test_free_twice),    cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_resize),        cmocka_unit_test(test_move),
        cmocka_unit_test(test_ok_sees),       cmocka_unit_test(test_racing_frees),
        cmocka_unit_test(test_guard_refused), cmocka_unit_test(test_growth),
        cmocka_unit_test(test_borrows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
