// test_mutator.c: whatever it is given, the mutator makes valid files, within bounds, and the same
// ones from the same seed; and it reaches every operation and the sizes that matter.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdlib.h>

#include "../../fuzz/mutator.h"
#include "../../fuzz/ops.h"

enum { CAPACITY = 4096 };

static void assert_valid(const uint8_t *data, size_t size, struct ops *program)
{
    struct ops_error error;
    assert_in_range(size, OPS_HEADER_BYTES, CAPACITY);
    if (!ops_decode(program, data, size, &error))
        fail_msg("offset %zu: %s", error.where, error.reason);
}

static void test_results_are_valid(void **state)
{
    (void)state;
    static uint8_t data[CAPACITY], other[CAPACITY], out[CAPACITY];
    struct ops program = { 0 };
    size_t size = 0, other_size = 0;
    for (uint32_t seed = 1; seed <= ROUNDS_HERE(20000); seed++) {
        size = mutator_mutate(data, size, CAPACITY, seed);
        assert_valid(data, size, &program);
        if (seed % 5 == 0) {
            size_t crossed = mutator_cross(data, size, other, other_size, out, CAPACITY, seed);
            assert_valid(out, crossed, &program);
            memcpy(other, data, size);
            other_size = size;
            memcpy(data, out, crossed);
            size = crossed;
        }
    }
    ops_free(&program);
}

static void test_garbage_is_replaced(void **state)
{
    (void)state;
    static uint8_t data[CAPACITY];
    struct ops program = { 0 };
    for (uint32_t seed = 0; seed < 5000; seed++) {
        size_t size = (seed * 7919) % 600;
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)(seed * 31 + i * i);
        // Half of them with a good header.
        struct ops_header header = { .threads = 2 };
        if (seed % 2 && size >= OPS_HEADER_BYTES)
            ops_put_header(&header, seed, seed / 3, data);
        size = mutator_mutate(data, size, CAPACITY, seed);
        assert_valid(data, size, &program);
        assert_in_range(program.count, 1, CAPACITY);
    }
    ops_free(&program);
}

static void test_capacity_is_kept(void **state)
{
    (void)state;
    for (size_t capacity = OPS_HEADER_BYTES + OPS_RECORD_BYTES; capacity < 200; capacity++) {
        // On the heap, so that a tool sees a write behind it.
        uint8_t *data = malloc(capacity);
        struct ops program = { 0 };
        size_t size = 0;
        for (uint32_t seed = 0; seed < 200; seed++) {
            size = mutator_mutate(data, size, capacity, seed);
            assert_in_range(size, OPS_HEADER_BYTES, capacity);
            assert_valid(data, size, &program);
        }
        ops_free(&program);
        free(data);
    }
}

static void test_seed_decides(void **state)
{
    (void)state;
    static uint8_t a[CAPACITY], b[CAPACITY];
    unsigned different = 0;
    for (uint32_t seed = 0; seed < 500; seed++) {
        size_t a_size = mutator_mutate(a, 0, CAPACITY, seed);
        mutator_mutate(b, 0, CAPACITY, seed + 1);
        size_t b_size = mutator_mutate(b, 0, CAPACITY, seed);
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
        b_size = mutator_mutate(b, 0, CAPACITY, seed + 1);
        different += a_size != b_size || memcmp(a, b, a_size) != 0;
    }
    assert_in_range(different, 450, 500);
}

static void test_reaches_what_matters(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {
        0,         1,      16,      17,      128,       129,
        160,       1024,   4096,    4097,    65536,     65537,
        262144,    262145, 1048576, 2097152, INT64_MAX, (uint64_t)INT64_MAX + 1,
        UINT64_MAX
    };
    static uint8_t data[CAPACITY];
    bool kinds[OP_KIND_COUNT] = { false }, seen[sizeof sizes / sizeof *sizes] = { false };
    bool decisions[DECIDE_COUNT] = { false }, threads[5] = { false };
    struct ops program = { 0 };
    for (uint32_t seed = 0; seed < ROUNDS_HERE(60000); seed++) {
        size_t size = mutator_mutate(data, 0, CAPACITY, seed);
        size = mutator_mutate(data, size, CAPACITY, ~seed);
        assert_valid(data, size, &program);
        threads[program.header.threads < 5 ? program.header.threads : 0] = true;
        for (size_t i = 0; i < program.decision_count; i++)
            decisions[program.decisions[i].kind] = true;
        for (size_t i = 0; i < program.count; i++) {
            kinds[program.list[i].kind] = true;
            for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++)
                seen[k] |= program.list[i].kind == OP_MALLOC && program.list[i].size == sizes[k];
        }
    }
    for (unsigned k = 0; k < OP_KIND_COUNT; k++)
        if (!kinds[k])
            fail_msg("never '%s'", ops_kind_name(k));
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++)
        if (!seen[k])
            fail_msg("never malloc of %llu", (unsigned long long)sizes[k]);
    for (unsigned k = 0; k < DECIDE_COUNT; k++)
        assert_true(decisions[k]);
    assert_true(threads[1] && threads[2] && threads[3] && threads[4] && !threads[0]);
    ops_free(&program);
}

static void test_crossing_takes_from_both(void **state)
{
    (void)state;
    static uint8_t a[CAPACITY], b[CAPACITY], out[CAPACITY];
    struct ops program = { 0 };
    struct ops_error error;
    unsigned both = 0;
    ops_clear(&program);
    for (unsigned i = 0; i < 20; i++)
        ops_push(&program, (struct op){ .kind = OP_MALLOC, .slot = i, .size = 111 });
    size_t a_size = ops_encode(&program, OPS_RECORDS, a, sizeof a, &error);
    for (unsigned i = 0; i < 20; i++)
        program.list[i].size = 222;
    size_t b_size = ops_encode(&program, OPS_RECORDS, b, sizeof b, &error);
    for (uint32_t seed = 0; seed < 200; seed++) {
        size_t size = mutator_cross(a, a_size, b, b_size, out, CAPACITY, seed);
        assert_valid(out, size, &program);
        unsigned of_a = 0, of_b = 0;
        for (size_t i = 0; i < program.count; i++) {
            of_a += program.list[i].size == 111;
            of_b += program.list[i].size == 222;
        }
        assert_int_equal(of_a + of_b, program.count);
        both += of_a && of_b;
    }
    assert_in_range(both, 100, 200);
    ops_free(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_valid),
        cmocka_unit_test(test_garbage_is_replaced),
        cmocka_unit_test(test_capacity_is_kept),
        cmocka_unit_test(test_seed_decides),
        cmocka_unit_test(test_reaches_what_matters),
        cmocka_unit_test(test_crossing_takes_from_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
