// test_pool.c: runs of units from the pool against a plain map of who owns which unit: no unit has
// two owners, cold units read as zero, the order of the stages, purging, huge runs, exhaustion.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/sanitizer.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

// Before the seam, which forbids the raw names from its include on.
static unsigned char swap_byte(unsigned char *p, unsigned char value)
{
    return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}

#include <seam/os.h>

#include "check.h"
#include "pool.h"
#include "sizeclass.h"

enum {
    SUPERSLABS = 12,
    UNITS = SUPERSLABS * SUPERSLAB_UNITS,
    RUNS = 40,
    THREADS = 4,
    DELAY_MS = 10,
};

static unsigned char owners[UNITS]; // 0: the pool's
static uint64_t now_ms;

static void start_arena(void)
{
    hak_classes_start((size_t)128 << 10);
    assert_true(hak_arena_start(SUPERSLABS * SUPERSLAB_SIZE));
    hak_superslabs_start();
    hak_pool_start();
    memset(owners, 0, sizeof owners);
    now_ms = 1000;
}

// Units of a SuperSlab that runs other than huge ones get.
enum { USABLE = SUPERSLAB_UNITS - MITIGATE_GUARDS };

static void own(uint32_t unit, size_t units, unsigned char from, unsigned char to)
{
    for (size_t i = 0; i < units; i++)
        if (swap_byte(&owners[unit + i], to) != from)
            hak_assert_failed("a unit has one owner", __FILE__, __LINE__);
}

static bool is_zero(uint32_t unit)
{
    const char *p = hak_unit_base(unit);
    sanitize_open(p, UNIT_SIZE);
    for (size_t i = 0; i < UNIT_SIZE; i += 64)
        if (p[i] != 0 || p[i + 63] != 0)
            return false;
    return true;
}

// Takes the units over: the cold ones read as zero, all are written to.
static void take(uint32_t unit, size_t units, uint32_t warm, unsigned char me)
{
    own(unit, units, 0, me);
    sanitize_open(hak_unit_base(unit), units * UNIT_SIZE);
    for (uint32_t i = 0; i < units; i++) {
        if ((units > SUPERSLAB_UNITS || (warm >> i & 1) == 0) && !is_zero(unit + i))
            hak_assert_failed("a cold unit reads as zero", __FILE__, __LINE__);
        memset(hak_unit_base(unit + i), me, UNIT_SIZE);
    }
}

static void give(uint32_t unit, size_t units, unsigned char me)
{
    for (uint32_t i = 0; i < units; i++)
        if ((unsigned char)hak_unit_base(unit + i)[77] != me)
            hak_assert_failed("a unit keeps what its owner wrote", __FILE__, __LINE__);
    own(unit, units, me, 0);
}

static void expect_stage(enum pool_stage stage, enum pool_stage expected)
{
    if (MITIGATE_RANDOM && expected == POOL_FROM_NEW && stage == POOL_FROM_UNUSED)
        return; // more than one SuperSlab is begun at a time
    assert_int_equal(stage, expected);
}

static struct run acquire(unsigned units, enum pool_stage expected)
{
    struct run r = { 0, 0, 0 };
    expect_stage(hak_pool_acquire(units, units, 1, POOL_ANY, &r), expected);
    if (expected != POOL_NONE)
        take(r.unit, r.units, r.warm, 1);
    return r;
}

static void release(struct run r)
{
    give(r.unit, r.units, 1);
    hak_pool_release(r.unit, r.units, now_ms);
}

static void test_stages(void **state)
{
    (void)state;
    start_arena();
    struct run r;
    assert_int_equal(hak_pool_acquire(1, 1, 1, POOL_BEGUN, &r), POOL_NONE);
    struct run a = acquire(4, POOL_FROM_NEW);
    struct run b = acquire(4, POOL_FROM_UNUSED);
    assert_int_equal(hak_pool_empty_units(), 0);
    release(a);
    assert_int_equal(hak_pool_empty_units(), 4);
    struct run c = acquire(4, POOL_FROM_EMPTY);
    assert_int_equal(c.unit, a.unit);
    assert_int_equal(c.warm, 0xf);
    release(c);
    struct run d = acquire(5, POOL_FROM_UNUSED); // longer than what is EMPTY
    struct run e = acquire(SUPERSLAB_UNITS, POOL_FROM_NEW);
    release(b);
    release(d);
    release(e);
    assert_int_equal(hak_superslab_bytes_committed(), hak_pool_empty_units() * UNIT_SIZE);
}

static void test_align(void **state)
{
    (void)state;
    start_arena();
    for (unsigned align = 1; align <= SUPERSLAB_UNITS; align *= 2) {
        struct run odd = { 0, 0, 0 }, r = { 0, 0, 0 };
        assert_int_not_equal(hak_pool_acquire(1, 1, 1, POOL_ANY, &odd), POOL_NONE);
        assert_int_not_equal(hak_pool_acquire(3, 3, align, POOL_ANY, &r), POOL_NONE);
        assert_int_equal(r.unit % align, 0);
        hak_pool_release(odd.unit, 1, now_ms);
        hak_pool_release(r.unit, 3, now_ms);
    }
}

static void test_purge(void **state)
{
    (void)state;
    start_arena();
    struct run a = acquire(6, POOL_FROM_NEW), b = acquire(6, POOL_FROM_UNUSED);
    release(a);
    now_ms += DELAY_MS - 1;
    release(b);
    assert_int_equal(hak_pool_purge(now_ms, DELAY_MS, SIZE_MAX), 0);
    now_ms += 1;
    assert_int_equal(hak_pool_purge(now_ms, DELAY_MS, SIZE_MAX), 6); // a, the older one
    assert_int_equal(hak_pool_empty_units(), 6);
    assert_int_equal(hak_superslab_bytes_committed(), 6 * UNIT_SIZE);
    for (uint32_t i = 0; i < 6; i++)
        assert_true(is_zero(a.unit + i));
    now_ms += DELAY_MS;
    assert_int_equal(hak_pool_purge(now_ms, DELAY_MS, SIZE_MAX), 6);
    assert_int_equal(hak_pool_purge(now_ms, DELAY_MS, SIZE_MAX), 0);
    assert_int_equal(hak_superslab_bytes_committed(), 0);
    // The clock's 32-bit stamp wraps without a unit staying for ever.
    now_ms = UINT32_MAX - 2;
    struct run c = acquire(3, POOL_FROM_UNUSED);
    release(c);
    now_ms += DELAY_MS;
    assert_int_equal(hak_pool_purge(now_ms, DELAY_MS, SIZE_MAX), 3);
}

static void test_purge_bound(void **state)
{
    (void)state;
    start_arena();
    struct run r[4];
    for (unsigned i = 0; i < 4; i++)
        r[i] = acquire(SUPERSLAB_UNITS, POOL_FROM_NEW);
    for (unsigned i = 0; i < 4; i++)
        release(r[i]);
    size_t purged = hak_pool_purge(now_ms, 0, SUPERSLAB_UNITS + 1);
    assert_true(purged >= SUPERSLAB_UNITS + 1 && purged <= 2 * SUPERSLAB_UNITS);
    assert_int_equal(hak_pool_empty_units(), 4 * SUPERSLAB_UNITS - purged);
}

static void test_tick(void **state)
{
    (void)state;
    start_arena();
    assert_true(hak_pool_tick(now_ms, DELAY_MS));
    assert_false(hak_pool_tick(now_ms, DELAY_MS)); // one thread at a time
    assert_false(hak_pool_tick(now_ms + 1, DELAY_MS));
    assert_true(hak_pool_tick(now_ms + DELAY_MS, DELAY_MS));
    assert_false(hak_pool_tick(now_ms + DELAY_MS, DELAY_MS));
}

static void test_exhaustion(void **state)
{
    (void)state;
    start_arena();
    struct run r[SUPERSLABS];
    for (unsigned i = 0; i < SUPERSLABS; i++)
        r[i] = acquire(USABLE - 1, POOL_FROM_NEW);
    struct run one = acquire(1, POOL_FROM_UNUSED), rest;
    (void)acquire(2, POOL_NONE);
    // In need a run may be shorter, down to its least length.
    if (!MITIGATE_GUARDS) // they give way in the end, and their units with them
        assert_int_equal(hak_pool_acquire(6, 2, 1, POOL_EXHAUSTIVE, &rest), POOL_NONE);
    assert_int_equal(hak_pool_acquire(6, 1, 1, POOL_EXHAUSTIVE, &rest), POOL_FROM_UNUSED);
    assert_int_equal(rest.units, 1);
    take(rest.unit, 1, rest.warm, 1);
    release(rest);
    release(one);
    for (unsigned i = 0; i < SUPERSLABS; i++)
        release(r[i]);
    assert_int_equal(hak_pool_empty_units(), hak_superslab_bytes_committed() / UNIT_SIZE);
    // Everything is there again, in one piece.
    struct run all;
    assert_int_not_equal(hak_pool_acquire_huge(UNITS, SUPERSLAB_SIZE, true, &all), POOL_NONE);
    assert_int_equal(all.unit, 0);
    take(0, UNITS, 0, 2);
}

// A SuperSlab whose memory the system refuses: no run, nothing changed, and no trace left.
static void test_system_refuses(void **state)
{
    (void)state;
    start_arena();
    struct run r;
    munmap(hak_arena.base, SUPERSLAB_SIZE);
    assert_int_equal(hak_pool_acquire(1, 1, 1, POOL_EXHAUSTIVE, &r), POOL_NONE);
    assert_int_equal(hak_pool_acquire_huge(1, SUPERSLAB_SIZE, false, &r), POOL_NONE);
    assert_int_equal(hak_superslabs_begun(), 0);
    assert_int_equal(hak_superslab_bytes_committed(), 0);
    void *p = mmap(hak_arena.base, SUPERSLAB_SIZE, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    assert_ptr_equal(p, hak_arena.base);
    release(acquire(1, POOL_FROM_NEW));
}

static void test_huge(void **state)
{
    (void)state;
    start_arena();
    struct run a, b, c;
    size_t units = 2 * SUPERSLAB_UNITS + 5;
    assert_int_equal(hak_pool_acquire_huge(units, SUPERSLAB_SIZE, true, &a), POOL_FROM_NEW);
    assert_int_equal(a.unit % SUPERSLAB_UNITS, 0);
    assert_int_equal(a.units, units);
    take(a.unit, units, 0, 1);
    struct run tail = acquire(USABLE - 5, POOL_FROM_UNUSED); // the rest of the last one
    assert_int_equal(tail.unit, a.unit + units);
    release(tail);
    give(a.unit, units, 1);
    hak_pool_release_huge(a.unit, units, true, now_ms);
    // Warm memory comes back zero where that is asked for.
    assert_int_equal(hak_pool_acquire_huge(units, SUPERSLAB_SIZE, true, &b),
                     MITIGATE_GUARDS ? POOL_FROM_UNUSED : POOL_FROM_EMPTY);
    assert_int_equal(b.unit, a.unit);
    take(b.unit, units, 0, 1);
    // Free SuperSlabs at the end are part of a run that begins new ones.
    give(b.unit, units, 1);
    hak_pool_release_huge(b.unit, units, true, now_ms);
    units = 5 * SUPERSLAB_UNITS;
    assert_int_equal(hak_pool_acquire_huge(units, SUPERSLAB_SIZE, true, &c), POOL_FROM_NEW);
    assert_int_equal(c.unit, 0);
    take(c.unit, units, 0, 1);
    assert_int_equal(hak_superslabs_begun(), 5);
    assert_int_equal(hak_pool_acquire_huge(UNITS + 1, SUPERSLAB_SIZE, false, &b), POOL_NONE);
    assert_int_equal(hak_pool_acquire_huge(8 * SUPERSLAB_UNITS, SUPERSLAB_SIZE, false, &b),
                     POOL_NONE);
}

static void test_huge_align(void **state)
{
    (void)state;
    for (size_t align = SUPERSLAB_SIZE; align <= 4 * SUPERSLAB_SIZE; align *= 2) {
        start_arena();
        struct run first = acquire(1, POOL_FROM_NEW), r;
        expect_stage(hak_pool_acquire_huge(SUPERSLAB_UNITS + 1, align, true, &r), POOL_FROM_NEW);
        assert_int_equal((uintptr_t)hak_unit_base(r.unit) % align, 0);
        take(r.unit, r.units, 0, 2);
        // What was skipped for the alignment is free.
        size_t used = 0;
        for (uint32_t i = 0; i < hak_superslabs_begun(); i++)
            used += (size_t)__builtin_popcount(~hak_mask_unused(hak_superslab_word(i)));
        assert_int_equal(used, 1 + r.units);
        release(first);
    }
}

static void test_extend(void **state)
{
    (void)state;
    start_arena();
    struct run a, blocker;
    size_t units = SUPERSLAB_UNITS + 3;
    assert_int_equal(hak_pool_acquire_huge(units, SUPERSLAB_SIZE, false, &a), POOL_FROM_NEW);
    take(a.unit, units, 0, 1);
    uint32_t end = a.unit + (uint32_t)units;
    assert_true(hak_pool_extend(end, 7));
    take(end, 7, 0, 1);
    end += 7;
    assert_true(hak_pool_extend(end, 2 * SUPERSLAB_UNITS)); // into SuperSlabs not yet begun
    take(end, 2 * SUPERSLAB_UNITS, 0, 1);
    end += 2 * SUPERSLAB_UNITS;
    assert_true(hak_superslab_claim_at(end, 1, &blocker));
    size_t empty = hak_pool_empty_units();
    assert_false(hak_pool_extend(end, 1));
    assert_int_equal(hak_pool_empty_units(), empty);
    hak_pool_release(blocker.unit, 1, now_ms);
    assert_false(hak_pool_extend(end, UNITS - end + 1)); // beyond the arena: nothing is kept
    own(0, end, 1, 1);
    size_t claimed = 0;
    for (uint32_t i = 0; i < hak_superslabs_begun(); i++) {
        uint64_t word = hak_superslab_word(i);
        claimed += (size_t)__builtin_popcount(~(hak_mask_unused(word) | hak_mask_empty(word)));
    }
    assert_int_equal(claimed, end);
}

// Units and SuperSlabs come in an order that is the address's by chance only.
static void test_order(void **state)
{
    (void)state;
    enum { RUNS_SEEN = 24 };
    unsigned ascending = 0, next_door = 0;
    start_arena();
    struct run last = acquire(1, POOL_FROM_NEW);
    for (unsigned i = 0; i < RUNS_SEEN; i++) {
        struct run r = { 0, 0, 0 };
        assert_int_not_equal(hak_pool_acquire(1, 1, 1, POOL_ANY, &r), POOL_NONE);
        ascending += r.unit > last.unit;
        next_door += r.unit / SUPERSLAB_UNITS == last.unit / SUPERSLAB_UNITS;
        last = r;
    }
    if (MITIGATE_RANDOM) // each fails once in many thousand runs
        assert_true(ascending < RUNS_SEEN - 2 && next_door < RUNS_SEEN - 1);
    else
        assert_true(ascending == RUNS_SEEN && next_door == RUNS_SEEN);
    // Within a SuperSlab, too.
    start_arena();
    last = acquire(1, POOL_FROM_NEW);
    uint32_t superslab = last.unit / SUPERSLAB_UNITS;
    ascending = 0;
    for (unsigned i = 0; i < RUNS_SEEN; i++) {
        struct run r;
        assert_true(hak_superslab_claim(superslab, 1, 1, false, &r));
        ascending += r.unit > last.unit;
        last = r;
    }
    assert_true(MITIGATE_RANDOM ? ascending < RUNS_SEEN - 2 : ascending == RUNS_SEEN);
}

// A warm run that is as long as asked for goes before longer ones, which stay whole.
static void test_whole_runs(void **state)
{
    (void)state;
    enum { ROUNDS = 20, LENGTHS = 3 };
    static const uint32_t from[LENGTHS] = { 5, 7, 0 }, units[LENGTHS] = { 1, 2, 4 };
    if (!MITIGATE_RANDOM)
        skip();
    start_arena();
    struct run r = acquire(1, POOL_FROM_NEW), all;
    uint32_t base = r.unit / SUPERSLAB_UNITS * SUPERSLAB_UNITS;
    release(r);
    assert_true(hak_superslab_claim_at(base, SUPERSLAB_UNITS - MITIGATE_GUARDS, &all));
    for (unsigned i = 0; i < LENGTHS; i++)
        hak_pool_release(base + from[i], units[i], now_ms);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < LENGTHS; i++) {
            assert_int_equal(hak_pool_acquire(units[i], units[i], 1, POOL_ANY, &r),
                             POOL_FROM_EMPTY);
            assert_int_equal(r.unit, base + from[i]);
        }
        for (unsigned i = 0; i < LENGTHS; i++)
            hak_pool_release(base + from[i], units[i], now_ms);
    }
    // Where none is, a longer one is split.
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(hak_pool_acquire(1, 1, 1, POOL_ANY, &r), POOL_FROM_EMPTY);
}

// ---- random operations, alone and with threads ----

static void random_runs(unsigned seed, unsigned char me, int steps)
{
    struct run r[RUNS];
    unsigned count = 0;
    for (int step = 0; step < steps; step++) {
        unsigned what = (unsigned)rand_r(&seed) % 16;
        if (what < 7 && count < RUNS) {
            unsigned units = 1 + (unsigned)rand_r(&seed) % 6;
            enum pool_effort effort = step % 5 == 0 ? POOL_EXHAUSTIVE : POOL_ANY;
            if (hak_pool_acquire(units, 1, 1, effort, &r[count]) != POOL_NONE) {
                take(r[count].unit, r[count].units, r[count].warm, me);
                count++;
            }
        } else if (what == 7 && count < RUNS) {
            size_t units = 1 + (size_t)rand_r(&seed) % (3 * SUPERSLAB_UNITS);
            if (hak_pool_acquire_huge(units, SUPERSLAB_SIZE, true, &r[count]) != POOL_NONE) {
                take(r[count].unit, units, 0, me);
                count++;
            }
        } else if (what < 14 && count != 0) {
            unsigned i = (unsigned)rand_r(&seed) % count;
            give(r[i].unit, r[i].units, me);
            hak_pool_release_huge(r[i].unit, r[i].units, true, os_clock_ms());
            r[i] = r[--count];
        } else if (what == 14) {
            hak_pool_purge(os_clock_ms(), step % 2, SIZE_MAX);
        } else if (count != 0) {
            unsigned i = (unsigned)rand_r(&seed) % count;
            uint32_t end = r[i].unit + r[i].units;
            size_t units = 1 + (size_t)rand_r(&seed) % SUPERSLAB_UNITS;
            if (end + units <= UNITS && hak_pool_extend(end, units)) {
                own(end, units, 0, me);
                sanitize_open(hak_unit_base(end), units * UNIT_SIZE);
                memset(hak_unit_base(end), me, units * UNIT_SIZE);
                r[i].units += (uint32_t)units;
            }
        }
    }
    while (count != 0) {
        count--;
        give(r[count].unit, r[count].units, me);
        hak_pool_release_huge(r[count].unit, r[count].units, true, os_clock_ms());
    }
}

// All units are free and none is counted as in use.
static void check_all_free(void)
{
    for (uint32_t i = 0; i < hak_superslabs_begun(); i++) {
        uint64_t word = hak_superslab_word(i);
        assert_int_equal(hak_mask_empty(word) | hak_mask_unused(word), UINT32_MAX);
        assert_true(hak_superslab_ok(i));
    }
    assert_int_equal(hak_superslab_bytes_committed(), hak_pool_empty_units() * UNIT_SIZE);
    hak_pool_purge(os_clock_ms() + 1000, 0, SIZE_MAX);
    assert_int_equal(hak_superslab_bytes_committed(), 0);
    for (uint32_t unit = 0; unit < hak_superslabs_begun() * SUPERSLAB_UNITS; unit++)
        assert_true(unit % SUPERSLAB_UNITS >= USABLE || is_zero(unit)); // or a guard
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 6; seed++) {
        start_arena();
        random_runs(seed, 1, 400);
        check_all_free();
    }
}

static void *run_thread(void *argument)
{
    unsigned char me = (unsigned char)(uintptr_t)argument;
    random_runs(me, me, 500);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    start_arena();
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_thread, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    check_all_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),         cmocka_unit_test(test_align),
        cmocka_unit_test(test_purge),          cmocka_unit_test(test_purge_bound),
        cmocka_unit_test(test_tick),           cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_system_refuses), cmocka_unit_test(test_huge),
        cmocka_unit_test(test_huge_align),     cmocka_unit_test(test_extend),
        cmocka_unit_test(test_order),          cmocka_unit_test(test_random),
        cmocka_unit_test(test_whole_runs),     cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
