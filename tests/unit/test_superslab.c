// test_superslab.c: masks of units against a plain array of states, alone and with threads.
#define _GNU_SOURCE 1
#include "support.h"

#include <seam/sanitizer.h>

#include <pthread.h>
#include <stdlib.h>

// Before the seam, which forbids the raw names from its include on.
static unsigned char swap_byte(unsigned char *p, unsigned char value)
{
    return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}

#include "check.h"
#include "guard.h"
#include "superslab.h"
#include "types.h"

enum { THREADS = 4, SUPERSLABS = 8, UNITS = SUPERSLABS * SUPERSLAB_UNITS, STEPS = 60000 };

enum unit_state { NOT_BEGUN = 0, UNUSED, EMPTY, ACTIVE };

static unsigned char model[UNITS];
static uint32_t model_begun;

static void start_arena(void)
{
    assert_true(hak_arena_start(SUPERSLABS * SUPERSLAB_SIZE));
    assert_int_equal(hak_arena.superslabs, SUPERSLABS);
    hak_superslabs_start();
    memset(model, NOT_BEGUN, sizeof model);
    model_begun = 0;
}

static unsigned naive_find(uint32_t available, unsigned units, unsigned align)
{
    for (unsigned first = 0; first + units <= SUPERSLAB_UNITS; first += align) {
        unsigned n = 0;
        while (n < units && (available >> (first + n) & 1) != 0)
            n++;
        if (n == units)
            return first;
    }
    return SUPERSLAB_UNITS;
}

static void check_find(uint32_t available)
{
    for (unsigned align = 1; align <= SUPERSLAB_UNITS; align *= 2)
        for (unsigned units = 1; units <= SUPERSLAB_UNITS; units++)
            if (hak_run_find(available, units, align) != naive_find(available, units, align))
                fail_msg("%08x, %u units at %u: %u", available, units, align,
                         hak_run_find(available, units, align));
}

static void test_find(void **state)
{
    (void)state;
    check_find(0);
    for (unsigned first = 0; first < SUPERSLAB_UNITS; first++) {
        for (unsigned units = 1; first + units <= SUPERSLAB_UNITS; units++) {
            check_find(hak_run_bits(first, units));
            check_find(~hak_run_bits(first, units));
        }
    }
    unsigned seed = 1;
    for (int i = 0; i < 3000; i++) {
        uint32_t a = (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
        uint32_t b = (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
        check_find(i % 3 == 0 ? a : i % 3 == 1 ? a | b : a & b);
    }
}

static void test_run_bits(void **state)
{
    (void)state;
    for (unsigned first = 0; first < SUPERSLAB_UNITS; first++) {
        uint32_t bits = 0;
        for (unsigned units = 1; first + units <= SUPERSLAB_UNITS; units++) {
            bits |= (uint32_t)1 << (first + units - 1);
            assert_int_equal(hak_run_bits(first, units), bits);
        }
    }
}

// ---- the model ----

static uint32_t model_mask(uint32_t superslab, enum unit_state wanted)
{
    uint32_t mask = 0;
    for (unsigned i = 0; i < SUPERSLAB_UNITS; i++)
        mask |= (uint32_t)(model[superslab * SUPERSLAB_UNITS + i] == wanted) << i;
    return mask;
}

static void model_set(uint32_t unit, unsigned units, enum unit_state state)
{
    memset(model + unit, state, units);
}

// Compares everything that can be read with the model. Hints may point at nothing, but whatever is
// free has its hint.
static void compare(void)
{
    size_t committed = 0;
    assert_int_equal(hak_superslabs_begun(), model_begun);
    for (uint32_t i = 0; i < model_begun; i++) {
        uint32_t empty = model_mask(i, EMPTY), unused = model_mask(i, UNUSED);
        uint64_t word = hak_superslab_word(i);
        assert_int_equal(hak_mask_empty(word), empty);
        assert_int_equal(hak_mask_unused(word), unused);
        assert_true(hak_superslab_ok(i));
        committed += (size_t)__builtin_popcount(~unused) * UNIT_SIZE;
        if ((empty | unused) != 0)
            assert_int_equal(hak_superslab_next(i, false), i);
        if (empty != 0)
            assert_int_equal(hak_superslab_next(i, true), i);
    }
    assert_int_equal(hak_superslab_bytes_committed(), committed);
    assert_true(hak_superslab_bytes_committed_peak() >= committed);
    assert_int_equal(hak_superslab_next(model_begun, false), UINT32_MAX);
}

// The claimed run: in the state that the claim said, ACTIVE from now on.
static void model_claim(const struct run *r, unsigned units)
{
    assert_int_equal(r->units, units);
    for (unsigned i = 0; i < units; i++) {
        assert_int_equal(model[r->unit + i], (r->warm >> i & 1) != 0 ? EMPTY : UNUSED);
        model[r->unit + i] = ACTIVE;
    }
    assert_int_equal((uint64_t)r->warm >> units, 0);
}

static unsigned random_below(unsigned *seed, unsigned bound)
{
    return (unsigned)rand_r(seed) % bound;
}

// Whether a run begins at `first` and none of the others lies beside it.
static bool is_apart(uint32_t available, unsigned first, unsigned units)
{
    unsigned end = first + units;
    return (first == 0 || (available >> (first - 1) & 1) == 0) &&
           (end == SUPERSLAB_UNITS || (available >> end & 1) == 0);
}

static bool any_apart(uint32_t available, unsigned units, unsigned align)
{
    for (unsigned first = 0; first + units <= SUPERSLAB_UNITS; first += align)
        if ((~available & hak_run_bits(first, units)) == 0 && is_apart(available, first, units))
            return true;
    return false;
}

// A run that is a whole run of EMPTY units, in a random order.
static void step_claim_whole(unsigned *seed)
{
    uint32_t superslab = random_below(seed, model_begun), empty = model_mask(superslab, EMPTY);
    unsigned units = 1 + random_below(seed, random_below(seed, 4) == 0 ? SUPERSLAB_UNITS : 6);
    unsigned align = 1u << random_below(seed, 3);
    struct run r;
    if (!MITIGATE_RANDOM)
        return;
    if (MITIGATE_GUARDS && hak_guard_is_closed(superslab))
        empty &= UINT32_MAX >> 1;
    struct wanted w = { KIND_FRESH, units, align, (uint32_t)rand_r(seed) << 1 };
    bool got = hak_superslab_claim_wanted(superslab, &w, FROM_WHOLE, &r);
    assert_int_equal(got, any_apart(empty, units, align));
    if (got) {
        unsigned first = r.unit % SUPERSLAB_UNITS;
        assert_true(first % align == 0 && is_apart(empty, first, units));
        model_claim(&r, units);
    }
}

static void step_claim(unsigned *seed)
{
    uint32_t superslab = random_below(seed, model_begun);
    unsigned units = 1 + random_below(seed, random_below(seed, 4) == 0 ? SUPERSLAB_UNITS : 6);
    unsigned align = 1u << random_below(seed, 6);
    bool empty_only = random_below(seed, 2) == 0;
    uint32_t available = model_mask(superslab, EMPTY);
    if (!empty_only)
        available |= model_mask(superslab, UNUSED);
    if (MITIGATE_GUARDS && hak_guard_is_closed(superslab))
        available &= UINT32_MAX >> 1;
    unsigned expected = naive_find(available, units, align);
    struct run r;
    bool got = hak_superslab_claim(superslab, units, align, empty_only, &r);
    assert_int_equal(got, expected != SUPERSLAB_UNITS);
    if (got) {
        if (MITIGATE_RANDOM) { // any place that fits
            unsigned first = r.unit % SUPERSLAB_UNITS;
            assert_int_equal(first % align, 0);
            assert_int_equal(~available & hak_run_bits(first, units), 0);
        } else {
            assert_int_equal(r.unit, superslab * SUPERSLAB_UNITS + expected);
        }
        model_claim(&r, units);
    }
}

static void step_claim_at(unsigned *seed)
{
    uint32_t unit = random_below(seed, model_begun * SUPERSLAB_UNITS);
    unsigned units = 1 + random_below(seed, SUPERSLAB_UNITS - unit % SUPERSLAB_UNITS);
    bool free_all = true;
    for (unsigned i = 0; i < units; i++)
        free_all &= model[unit + i] == EMPTY || model[unit + i] == UNUSED;
    struct run r;
    assert_int_equal(hak_superslab_claim_at(unit, units, &r), free_all);
    if (free_all) {
        assert_int_equal(r.unit, unit);
        model_claim(&r, units);
    }
}

static void step_claim_empty(unsigned *seed)
{
    uint32_t superslab = random_below(seed, model_begun);
    uint32_t bits = (uint32_t)rand_r(seed) & (uint32_t)rand_r(seed) << 1;
    uint32_t expected = bits & model_mask(superslab, EMPTY);
    assert_int_equal(hak_superslab_claim_empty(superslab, bits), expected);
    for (unsigned i = 0; i < SUPERSLAB_UNITS; i++)
        if (expected >> i & 1)
            model[superslab * SUPERSLAB_UNITS + i] = ACTIVE;
}

static void step_give(unsigned *seed)
{
    uint32_t unit = random_below(seed, model_begun * SUPERSLAB_UNITS);
    if (model[unit] != ACTIVE)
        return;
    unsigned units = 1;
    while ((unit + units) % SUPERSLAB_UNITS != 0 && model[unit + units] == ACTIVE &&
           random_below(seed, 8) != 0)
        units++;
    bool empty = random_below(seed, 2) == 0;
    hak_superslab_give(unit, units, empty);
    model_set(unit, units, empty ? EMPTY : UNUSED);
}

static void step_begin(unsigned *seed)
{
    uint32_t count = 1 + random_below(seed, 2);
    uint32_t units = count * SUPERSLAB_UNITS - random_below(seed, SUPERSLAB_UNITS);
    uint32_t expected = random_below(seed, 2) == 0 ? UINT32_MAX : random_below(seed, SUPERSLABS);
    uint32_t unit = 0;
    bool possible = model_begun + count <= SUPERSLABS &&
                    (expected == UINT32_MAX || expected == model_begun);
    assert_int_equal(hak_superslab_begin(count, units, expected, &unit), possible);
    if (possible) {
        assert_int_equal(unit, model_begun * SUPERSLAB_UNITS);
        model_set(unit, units, ACTIVE);
        model_set(unit + units, count * SUPERSLAB_UNITS - units, UNUSED);
        sanitize_open(hak_unit_base(unit), count * SUPERSLAB_SIZE);
        hak_unit_base(unit)[0] = 1; // accessible
        hak_unit_base(unit + count * SUPERSLAB_UNITS - MITIGATE_GUARDS)[-1] = 1;
        model_begun += count;
    }
}

static void step_clear_hint(unsigned *seed)
{
    uint32_t superslab = random_below(seed, model_begun);
    bool empty = random_below(seed, 2) == 0;
    hak_superslab_clear_hint(superslab, empty);
    uint32_t there = model_mask(superslab, EMPTY);
    if (!empty)
        there |= model_mask(superslab, UNUSED);
    assert_int_equal(hak_superslab_next(superslab, empty) == superslab, there != 0);
}

static void test_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) {
        unsigned random = seed;
        start_arena();
        step_begin(&random);
        for (int step = 0; step < 4000; step++) {
            unsigned what = random_below(&random, 100);
            if (what < 2 || model_begun == 0)
                step_begin(&random);
            else if (what < 30)
                step_claim(&random);
            else if (what < 35)
                step_claim_whole(&random);
            else if (what < 42)
                step_claim_at(&random);
            else if (what < 50)
                step_claim_empty(&random);
            else if (what < 55)
                step_clear_hint(&random);
            else
                step_give(&random);
            compare();
        }
    }
}

// ---- threads ----

static unsigned char owners[UNITS]; // 0: nobody's

static void own(const struct run *r, unsigned char from, unsigned char to)
{
    for (unsigned i = 0; i < r->units; i++)
        if (swap_byte(&owners[r->unit + i], to) != from)
            hak_assert_failed("a unit belongs to one thread", __FILE__, __LINE__);
}

static void *claim_and_give(void *argument)
{
    unsigned char me = (unsigned char)(uintptr_t)argument;
    unsigned seed = me;
    struct run held[16];
    unsigned count = 0;
    for (int step = 0; step < STEPS; step++) {
        if (count < 16 && random_below(&seed, 2) == 0) {
            uint32_t superslab = hak_superslab_next(random_below(&seed, SUPERSLABS), false);
            unsigned units = 1 + random_below(&seed, 8);
            if (superslab == UINT32_MAX)
                continue;
            if (hak_superslab_claim(superslab, units, 1, seed % 2 == 0, &held[count]))
                own(&held[count++], 0, me);
            else if (hak_superslab_word(superslab) == 0)
                hak_superslab_clear_hint(superslab, false);
        } else if (count != 0) {
            struct run r = held[--count];
            own(&r, me, 0);
            hak_superslab_give(r.unit, r.units, random_below(&seed, 2) == 0);
        }
    }
    while (count != 0) {
        struct run r = held[--count];
        own(&r, me, 0);
        hak_superslab_give(r.unit, r.units, true);
    }
    return NULL;
}

// As the purger does: takes EMPTY units, gives them back UNUSED.
static void *purge(void *argument)
{
    unsigned seed = 99;
    (void)argument;
    for (int step = 0; step < STEPS; step++) {
        uint32_t superslab = random_below(&seed, SUPERSLABS);
        uint32_t got = hak_superslab_claim_empty(superslab, (uint32_t)rand_r(&seed));
        for (; got != 0; got &= got - 1) {
            struct run r = { superslab * SUPERSLAB_UNITS + lowest_bit(got), 1, 1 };
            own(&r, 0, 255);
            own(&r, 255, 0);
            hak_superslab_give(r.unit, 1, false);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    start_arena();
    uint32_t unit;
    assert_true(hak_superslab_begin(SUPERSLABS, UNITS, UINT32_MAX, &unit));
    for (uint32_t i = 0; i < SUPERSLABS; i++)
        hak_superslab_give(i * SUPERSLAB_UNITS, SUPERSLAB_UNITS, false);
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&thread[i], NULL, i == 0 ? purge : claim_and_give, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    size_t committed = 0;
    for (uint32_t i = 0; i < SUPERSLABS; i++) {
        uint64_t word = hak_superslab_word(i);
        assert_true(hak_superslab_ok(i));
        assert_int_equal(hak_mask_empty(word) | hak_mask_unused(word), UINT32_MAX);
        assert_int_equal(hak_superslab_next(i, false), i); // no hint was lost
        if (hak_mask_empty(word) != 0)
            assert_int_equal(hak_superslab_next(i, true), i);
        committed += (size_t)__builtin_popcount(hak_mask_empty(word)) * UNIT_SIZE;
    }
    assert_int_equal(hak_superslab_bytes_committed(), committed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_run_bits),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
