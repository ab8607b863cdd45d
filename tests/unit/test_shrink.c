// test_shrink.c: planted failures with a known minimum, each found by its own way of shrinking.
//
// A failure here is a predicate on programs: what it needs is the minimum, and everything around
// it must go. A scheduled failure needs decisions at certain steps; steps move with operations.
#include "support.h"

#include <stdio.h>

#include "../../fuzz/shrink.h"

// ---- what a program must have to fail ----

struct planted {
    // Operations that must be there in this order; kinds only.
    uint8_t kinds[4];
    size_t count;
    size_t threads;          // that must have operations
    uint64_t size_min;       // of the first one
    unsigned decisions;      // set of bits: kinds of decisions, one of each at step STEP
    bool steps_move;         // a decision must be at its thread's step = number of its operations
    unsigned long evaluated; // calls
};
#define STEP 7u

static bool has_decision(const struct planted *p, const struct ops *program, unsigned kind)
{
    for (size_t i = 0; i < program->decision_count; i++) {
        const struct decision *d = &program->decisions[i];
        if (d->kind == kind && d->step == (p->steps_move ? program->count : STEP))
            return true;
    }
    return false;
}

static bool planted_fails(void *arg, const struct ops *program)
{
    struct planted *p = arg;
    size_t found = 0;
    p->evaluated++;
    for (size_t i = 0; i < program->count && found < p->count; i++) {
        const struct op *op = &program->list[i];
        found += op->kind == p->kinds[found] && (found != 0 || op->size >= p->size_min);
    }
    for (unsigned kind = 0; kind < DECIDE_COUNT; kind++)
        if ((p->decisions >> kind & 1) && !has_decision(p, program, kind))
            return false;
    return found == p->count && shrink_measure(program).threads >= p->threads;
}

// Finds the step that the decision must be at now.
static bool planted_search(void *arg, struct ops *program, size_t below)
{
    const struct planted *p = arg;
    if (below <= 1)
        return false;
    program->decision_count = 0;
    assert_true(ops_push_decision(program,
                                  (struct decision){ 0, DECIDE_RUN, 1, (uint32_t)program->count }));
    return p->steps_move && planted_fails(arg, program);
}

// ---- programs with much that is not needed ----

// `needed` operations among `noise` others, in `threads` threads, with decisions of each kind.
static void make(struct ops *program, const struct planted *p, size_t noise, uint16_t threads)
{
    static const uint8_t others[] = { OP_CALLOC, OP_TOUCH, OP_STATS, OP_USABLE_SIZE };
    size_t needed = 0;
    ops_clear(program);
    for (size_t i = 0; i < noise; i++) {
        struct op op = { .kind = others[i % 4],
                         .thread = (uint16_t)(i % threads),
                         .slot = (uint32_t)(i % 50),
                         .size = 100 + i,
                         .arg = others[i % 4] == OP_CALLOC ? 3 : 0 };
        assert_true(ops_push(program, op));
        if (i % (noise / p->count) == noise / p->count / 2 && needed < p->count) {
            op.kind = p->kinds[needed++];
            op.arg = 0;
            op.size = 70000;
            op.thread = (uint16_t)(needed % threads);
            assert_true(ops_push(program, op));
        }
    }
    for (uint32_t i = 0; i < 60; i++) {
        struct decision d = { (uint16_t)(i % threads), (uint8_t)(i % DECIDE_COUNT), 0, i };
        assert_true(ops_push_decision(program, d));
    }
    for (unsigned kind = 0; kind < DECIDE_COUNT; kind++) {
        uint32_t step = p->steps_move ? (uint32_t)program->count : STEP;
        assert_true(ops_push_decision(program, (struct decision){ 0, (uint8_t)kind, 1, step }));
    }
    program->header.threads = threads;
    program->header.seed = 4711;
    assert_true(planted_fails((void *)(uintptr_t)p, program));
}

static struct shrink_size shrink_planted(struct ops *program, struct planted *p)
{
    struct shrink s = { .fails = planted_fails,
                        .search = p->steps_move ? planted_search : NULL,
                        .arg = p };
    p->evaluated = 0;
    shrink_program(&s, program);
    assert_false(s.out_of_memory);
    assert_true(s.tried > 0);
    assert_true(planted_fails(p, program));
    return shrink_measure(program);
}

static void test_operations(void **state)
{
    (void)state;
    struct planted p = { .kinds = { OP_MALLOC, OP_REALLOC, OP_FREE }, .count = 3, .threads = 1 };
    struct ops program = { 0 };
    make(&program, &p, 400, 1);
    struct shrink_size size = shrink_planted(&program, &p);
    assert_int_equal(size.ops, 3);
    assert_int_equal(program.decision_count, 0);
    assert_int_equal(program.header.seed, 0);
    assert_int_equal(program.list[0].size, 0);
    assert_true(program.slots <= 3);
    // Delta debugging needs far fewer than the quadratic worst case for three needles.
    assert_true(p.evaluated < 400);
    ops_free(&program);
}

static void test_one_and_none(void **state)
{
    (void)state;
    struct planted p = { .kinds = { OP_TRIM }, .count = 1, .threads = 1 };
    struct ops program = { 0 };
    make(&program, &p, 20, 1);
    assert_int_equal(shrink_planted(&program, &p).ops, 1);
    // What fails without any operation becomes empty.
    p.count = 0;
    p.threads = 0;
    assert_int_equal(shrink_planted(&program, &p).ops, 0);
    ops_free(&program);
}

static void test_sizes(void **state)
{
    (void)state;
    struct planted p = {
        .kinds = { OP_MALLOC, OP_FREE }, .count = 2, .threads = 1, .size_min = 65536
    };
    struct ops program = { 0 };
    make(&program, &p, 30, 1);
    assert_int_equal(shrink_planted(&program, &p).ops, 2);
    assert_int_equal(program.list[0].size, 65536);
    ops_free(&program);
}

static void test_threads(void **state)
{
    (void)state;
    struct ops program = { 0 };
    for (size_t threads = 1; threads <= 3; threads++) {
        struct planted p = { .kinds = { OP_MALLOC, OP_FLUSH, OP_FREE },
                             .count = 3,
                             .threads = threads };
        make(&program, &p, 100, 4);
        struct shrink_size size = shrink_planted(&program, &p);
        assert_int_equal(size.ops, 3);
        assert_int_equal(size.threads, threads);
        assert_int_equal(program.header.threads, threads);
        for (size_t i = 0; i < program.count; i++)
            assert_true(program.list[i].thread < threads);
    }
    ops_free(&program);
}

// Each kind of decision goes by itself, and only what is needed stays.
static void test_decisions(void **state)
{
    (void)state;
    struct ops program = { 0 };
    for (unsigned kinds = 0; kinds < 1u << DECIDE_COUNT; kinds++) {
        struct planted p = {
            .kinds = { OP_MALLOC, OP_FREE }, .count = 2, .threads = 1, .decisions = kinds
        };
        make(&program, &p, 20, 2);
        struct shrink_size size = shrink_planted(&program, &p);
        assert_int_equal(program.decision_count, __builtin_popcount(kinds));
        assert_int_equal(size.preemptions, kinds >> DECIDE_RUN & 1);
        assert_int_equal(size.stale_reads, kinds >> DECIDE_READ & 1);
        for (size_t i = 0; i < program.decision_count; i++)
            assert_int_equal(program.decisions[i].step, STEP);
    }
    ops_free(&program);
}

// Without a search nothing can be left out, as each operation moves the step; with it all can.
static void test_moved_steps(void **state)
{
    (void)state;
    struct planted p = { .kinds = { OP_MALLOC, OP_FREE },
                         .count = 2,
                         .threads = 1,
                         .decisions = 1u << DECIDE_RUN,
                         .steps_move = true };
    struct ops program = { 0 }, without = { 0 };
    make(&program, &p, 40, 1);
    assert_true(shrink_copy(&without, &program));
    struct shrink s = { .fails = planted_fails, .arg = &p };
    shrink_program(&s, &without);
    assert_true(without.count > 2);
    struct shrink_size size = shrink_planted(&program, &p);
    assert_int_equal(size.ops, 2);
    assert_int_equal(size.preemptions, 1);
    assert_int_equal(program.decision_count, 1);
    ops_free(&program);
    ops_free(&without);
}

// A schedule that is drawn, not listed, is left alone.
static void test_strategy_stays(void **state)
{
    (void)state;
    struct planted p = { .kinds = { OP_MALLOC }, .count = 1, .threads = 1 };
    struct ops program = { 0 };
    make(&program, &p, 20, 2);
    program.header.strategy = OPS_PCT;
    program.header.depth = 3;
    shrink_planted(&program, &p);
    assert_int_equal(program.header.strategy, OPS_PCT);
    assert_int_equal(program.header.seed, 4711);
    assert_int_equal(program.header.depth, 3);
    ops_free(&program);
}

static bool two_letters(void *arg, const uint8_t *data, size_t size)
{
    const uint8_t *a = memchr(data, 'a', size);
    ++*(unsigned *)arg;
    return a && memchr(a, 'b', size - (size_t)(a - data));
}

static void test_bytes(void **state)
{
    (void)state;
    unsigned calls = 0;
    uint8_t data[300];
    memset(data, 'x', sizeof data);
    data[17] = 'a';
    data[250] = 'b';
    assert_int_equal(shrink_bytes(two_letters, &calls, data, sizeof data), 2);
    assert_memory_equal(data, "ab", 2);
    assert_true(calls < 100);
    assert_int_equal(shrink_bytes(two_letters, &calls, data, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),     cmocka_unit_test(test_one_and_none),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_threads),
        cmocka_unit_test(test_decisions),      cmocka_unit_test(test_moved_steps),
        cmocka_unit_test(test_strategy_stays), cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
