// test_ops.c: the operation language: the three forms say the same, errors name their place, and
// lenient decoding stays within its limits whatever it is given.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../fuzz/ops.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

// Numbers that a record can say.
static uint64_t random_number(unsigned bits)
{
    uint64_t v = random_bits() & (((uint64_t)1 << bits) - 1);
    switch (random_bits() % 5) {
    case 0:
        return v << 12;
    case 1:
        return ((uint64_t)1 << random_bits() % 64) + v % 1000 - 500;
    case 2:
        return UINT64_MAX - v;
    case 3:
        return (uint64_t)INT64_MAX + v % 1000 - 500;
    default:
        return v;
    }
}

static struct op random_op(void)
{
    struct op op = { .kind = (uint8_t)(random_bits() % OP_KIND_COUNT),
                     .thread = (uint16_t)(random_bits() % 3) };
    unsigned fields = ops_fields(op.kind);
    if (fields & (OPS_DST | OPS_SLOT))
        op.slot = random_bits() % 65536;
    if (fields & OPS_ARG)
        op.arg = op.kind == OP_MISUSE    ? random_bits() % MISUSE_COUNT
                 : op.kind == OP_CORRUPT ? random_bits() % STRUCTURE_COUNT
                                         : random_number(24);
    if (fields & OPS_SIZE)
        op.size = random_number(32);
    return op;
}

static void random_program(struct ops *program, unsigned count)
{
    ops_clear(program);
    program->header = (struct ops_header){ .strategy = OPS_PCT,
                                           .depth = 3,
                                           .seed = 12345,
                                           .geometry = OPS_SMALL,
                                           .threads = 3,
                                           .arena_mib = 64 };
    for (unsigned i = 0; i < count; i++)
        assert_true(ops_push(program, random_op()));
    for (unsigned i = 0; i < 5; i++)
        assert_true(ops_push_decision(
            program, (struct decision){ (uint16_t)(i % 3), (uint8_t)i, (uint8_t)(i * 50), i * i }));
}

static void assert_same(const struct ops *a, const struct ops *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->decision_count, b->decision_count);
    assert_int_equal(a->slots, b->slots);
    for (size_t i = 0; i < a->count; i++) {
        const struct op *x = &a->list[i], *y = &b->list[i];
        if (x->kind != y->kind || x->thread != y->thread || x->slot != y->slot ||
            x->size != y->size || x->arg != y->arg)
            fail_msg("operation %zu differs", i);
    }
    for (size_t i = 0; i < a->decision_count; i++)
        assert_memory_equal(&a->decisions[i], &b->decisions[i], sizeof *a->decisions);
    assert_int_equal(a->header.strategy, b->header.strategy);
    assert_int_equal(a->header.depth, b->header.depth);
    assert_int_equal(a->header.seed, b->header.seed);
    assert_int_equal(a->header.geometry, b->header.geometry);
    assert_int_equal(a->header.threads, b->header.threads);
    assert_int_equal(a->header.arena_mib, b->header.arena_mib);
}

static void test_binary_round_trips(void **state)
{
    (void)state;
    static uint8_t data[1 << 16], again[1 << 16];
    struct ops program = { 0 }, back = { 0 };
    struct ops_error error;
    for (unsigned round = 0; round < 200; round++) {
        random_program(&program, round);
        for (unsigned form = OPS_RECORDS; form <= OPS_TRACE; form++) {
            size_t bytes = ops_encode(&program, form, data, sizeof data, &error);
            assert_in_range(bytes, 1, sizeof data);
            assert_true(ops_decode(&back, data, bytes, &error));
            assert_same(&program, &back);
            assert_int_equal(ops_encode(&back, form, again, sizeof again, &error), bytes);
            assert_memory_equal(data, again, bytes);
        }
    }
    ops_free(&program);
    ops_free(&back);
}

static void test_text_round_trips(void **state)
{
    (void)state;
    struct ops program = { 0 }, back = { 0 };
    struct ops_error error;
    for (unsigned round = 0; round < 100; round++) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        random_program(&program, round);
        ops_print(&program, out);
        fclose(out);
        if (!ops_parse(&back, text, bytes, &error))
            fail_msg("line %zu: %s", error.where, error.reason);
        assert_same(&program, &back);
        free(text);
    }
    ops_free(&program);
    ops_free(&back);
}

static void test_trace_holds_any_number(void **state)
{
    (void)state;
    uint8_t data[256];
    struct ops program = { 0 }, back = { 0 };
    struct ops_error error;
    ops_clear(&program);
    program.header.threads = 257;
    assert_int_equal(ops_encode(&program, OPS_RECORDS, data, sizeof data, &error), 0);
    assert_string_equal(error.reason, "257 threads do not fit in records: use a trace");
    ops_clear(&program);
    ops_push(&program, (struct op){ .kind = OP_CALLOC,
                                    .thread = 6,
                                    .slot = UINT32_MAX - 1,
                                    .size = 0x0123456789abcdef,
                                    .arg = UINT64_MAX });
    assert_int_equal(ops_encode(&program, OPS_RECORDS, data, sizeof data, &error), 0);
    assert_string_equal(error.reason, "operation 0 does not fit in a record: use a trace");
    size_t bytes = ops_encode(&program, OPS_TRACE, data, sizeof data, &error);
    assert_true(ops_decode(&back, data, bytes, &error));
    assert_same(&program, &back);
    program.header.threads = OPS_THREADS_MAX;
    program.list[0].thread = OPS_THREADS_MAX - 1;
    bytes = ops_encode(&program, OPS_TRACE, data, sizeof data, &error);
    assert_true(ops_decode(&back, data, bytes, &error));
    assert_same(&program, &back);
    ops_free(&program);
    ops_free(&back);
}

// A trace whose writer was killed: its count is open, whole operations up to the end count.
static void test_open_trace(void **state)
{
    (void)state;
    uint8_t data[256];
    struct ops back = { 0 };
    struct ops_error error;
    struct ops_header header = { .form = OPS_TRACE, .threads = 1 };
    size_t bytes = ops_put_header(&header, OPS_COUNT_OPEN, 0, data);
    bytes += ops_put_trace_op(&(struct op){ .kind = OP_MALLOC, .slot = 7, .size = 300 }, -1,
                              data + bytes);
    bytes += ops_put_trace_op(&(struct op){ .kind = OP_FREE, .slot = 7 }, 0, data + bytes);
    assert_true(ops_decode(&back, data, bytes, &error));
    assert_int_equal(back.count, 2);
    assert_int_equal(back.slots, 8);
    assert_false(ops_decode(&back, data, bytes - 1, &error));
    assert_int_equal(back.count, 0);
    ops_free(&back);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    static uint8_t data[1 << 14];
    struct ops program = { 0 }, back = { 0 };
    struct ops_error error;
    random_program(&program, 40);
    for (unsigned form = OPS_RECORDS; form <= OPS_TRACE; form++) {
        size_t bytes = ops_encode(&program, form, data, sizeof data, &error);
        for (size_t cut = 0; cut < bytes; cut++) {
            assert_false(ops_decode(&back, data, cut, &error));
            assert_in_range(error.where, 0, cut);
            assert_int_not_equal(error.reason[0], 0);
        }
        data[bytes] = 0;
        assert_false(ops_decode(&back, data, bytes + 1, &error));
        assert_int_equal(error.where, bytes);
    }
    ops_free(&program);
    ops_free(&back);
}

static void test_binary_errors(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        size_t where;
        const char *reason;
    } cases[] = {
        { 0, 'X', 0, "does not begin" },
        { 4, 2, 4, "version 2" },
        { 5, 2, 5, "unknown form 2" },
        { 6, 9, 6, "unknown strategy 9" },
        { 7, 3, 7, "unknown geometry 3" },
        { 12, 0, 12, "0 threads" },
        { 31, 1, 31, "reserved byte is 1" },
        { 32, 200, 32, "unknown operation 200" },
        { 33, 5, 32, "thread 5 of 1" },
        { 36, 5, 32, "" },
        { 37, 1, 37, "byte 5 of operation 'malloc'" },
        { 36, 1, 32, "" }, // 100 << 12 is shorter as a plain number
        { 46, 1, 46, "byte 2 of operation 'flush'" },
        { 58, 77, 58, "unknown decision 77" },
        { 56, 1, 56, "thread 1 of 1" },
    };
    struct ops program = { 0 };
    struct ops_error error;
    uint8_t data[128];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ops_clear(&program);
        ops_push(&program, (struct op){ .kind = OP_MALLOC, .slot = 1, .size = 100 });
        ops_push(&program, (struct op){ .kind = OP_FLUSH });
        ops_push_decision(&program, (struct decision){ 0, DECIDE_RUN, 0, 3 });
        size_t bytes = ops_encode(&program, OPS_RECORDS, data, sizeof data, &error);
        assert_int_equal(bytes, 32 + 2 * 12 + 8);
        data[cases[i].at] = cases[i].value;
        assert_false(ops_decode(&program, data, bytes, &error));
        if (!strstr(error.reason, cases[i].reason) || error.text ||
            (cases[i].reason[0] && error.where != cases[i].where))
            fail_msg("case %zu: offset %zu: %s", i, error.where, error.reason);
    }
    ops_free(&program);
}

static void test_text_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t line;
        const char *reason;
    } cases[] = {
        { "t0 s0 = mallok 3", 1, "unknown operation 'mallok'" },
        { "\n\nt0 s0 = malloc", 3, "'malloc' takes 1 values, here are 0" },
        { "t0 s0 = malloc 1 2", 1, "takes 1 values, here are 2" },
        { "t0 malloc 1", 1, "needs a slot" },
        { "t0 s0 = free s0", 1, "gives no block" },
        { "t0 free q3", 1, "'q3' is no slot" },
        { "t0 free s4294967295", 1, "is no slot" },
        { "t65535 flush", 1, "is no thread" },
        { "u0 flush", 1, "is no thread" },
        { "t0 s0 = malloc -1", 1, "'-1' is no number" },
        { "t0 s0 = malloc 18446744073709551616", 1, "is no number" },
        { "t0 s0 = malloc 0x", 1, "is no number" },
        { "t0 misuse nonsense s0 0", 1, "'nonsense' is no misuse" },
        { "t0 flush\nthreads 2", 2, "'threads' behind the first operation" },
        { "threads 0", 1, "bad value '0' of 'threads'" },
        { "seed 4294967296", 1, "bad value" },
        { "seed", 1, "takes one value" },
        { "strategy magic", 1, "bad value 'magic'" },
        { "decide t0 3 run", 1, "a decision is" },
        { "decide t0 3 fly 1", 1, "'fly' is no decision" },
        { "decide t0 3 run 256", 1, "is no choice" },
        { "t0 a b c d e f g h", 1, "more than 8 words" },
        { "t0", 1, "unknown operation ''" },
    };
    struct ops program = { 0 };
    struct ops_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(ops_parse(&program, cases[i].text, strlen(cases[i].text), &error));
        if (!strstr(error.reason, cases[i].reason) || error.where != cases[i].line || !error.text)
            fail_msg("case %zu: line %zu: %s", i, error.where, error.reason);
    }
    assert_false(ops_parse(&program, "t0 \0flush", 9, &error));
    assert_string_equal(error.reason, "a zero byte");
    char line[300];
    memset(line, 'x', sizeof line);
    assert_false(ops_parse(&program, line, sizeof line, &error));
    assert_non_null(strstr(error.reason, "longer than"));
    ops_free(&program);
}

static void test_error_messages(void **state)
{
    (void)state;
    struct ops program = { 0 };
    struct ops_error error;
    char line[200];
    assert_false(ops_parse(&program, "\nt0 fly", 7, &error));
    ops_format_error(&error, "a/b", line, sizeof line);
    assert_string_equal(line, "a/b:2: unknown operation 'fly'");
    assert_false(ops_decode(&program, (const uint8_t *)"HAKO\2", 5, &error));
    ops_format_error(&error, "a/b", line, sizeof line);
    assert_string_equal(line, "a/b: offset 5: the file ends inside of the header of 32 bytes");
    assert_false(ops_load(&program, "/nonexistent/file", &error));
    assert_non_null(strstr(error.reason, "cannot open"));
}

static const struct ops_limits limits = {
    .ops_max = 50, .slots = 16, .threads = 2, .size_max = 1 << 20, .fail_min = (uint64_t)1 << 47
};

static void test_lenient_keeps_limits(void **state)
{
    (void)state;
    struct ops program = { 0 };
    uint8_t data[1024];
    for (unsigned round = 0; round < 20000; round++) {
        struct ops_header header = { .threads = 1 };
        size_t bytes = OPS_HEADER_BYTES + random_bits() % (sizeof data - OPS_HEADER_BYTES);
        ops_put_header(&header, 0, 0, data);
        for (size_t i = 6; i < bytes; i++)
            data[i] = (uint8_t)random_bits();
        if (round % 2)
            memset(data + 18, 0, 2), memset(data + 22, 0, 2);
        assert_true(ops_decode_lenient(&program, data, bytes, &limits));
        assert_in_range(program.count, 0, limits.ops_max);
        assert_in_range(program.header.threads, 1, limits.threads);
        for (size_t i = 0; i < program.count; i++) {
            const struct op *op = &program.list[i];
            bool counted = op->kind == OP_CALLOC || op->kind == OP_REALLOCARRAY;
            bool sized = (ops_fields(op->kind) & OPS_DST) || op->kind == OP_REALLOC || counted;
            uint64_t n = 0;
            bool overflow = __builtin_mul_overflow(counted ? op->arg : 1, op->size, &n);
            assert_true(op->kind < OP_KIND_COUNT && op->thread < program.header.threads);
            assert_true(op->slot < limits.slots);
            assert_true(!sized || overflow || n <= limits.size_max || n >= limits.fail_min);
        }
    }
    assert_false(ops_decode_lenient(&program, data, OPS_HEADER_BYTES - 1, &limits));
    data[0] ^= 1;
    assert_false(ops_decode_lenient(&program, data, sizeof data, &limits));
    ops_free(&program);
}

static void test_lenient_equals_strict(void **state)
{
    (void)state;
    static uint8_t data[1 << 14];
    static const struct ops_limits wide = { .ops_max = 1000,
                                            .slots = OPS_RECORD_SLOTS,
                                            .threads = 256,
                                            .size_max = UINT64_MAX,
                                            .fail_min = UINT64_MAX };
    struct ops program = { 0 }, back = { 0 };
    struct ops_error error;
    for (unsigned round = 0; round < 100; round++) {
        random_program(&program, round);
        for (size_t i = 0; i < program.count; i++)
            if (program.list[i].kind == OP_TICK || program.list[i].kind == OP_FAIL_OS)
                program.list[i].size = program.list[i].arg = 0;
        size_t bytes = ops_encode(&program, OPS_RECORDS, data, sizeof data, &error);
        assert_true(ops_decode_lenient(&back, data, bytes, &wide));
        assert_same(&program, &back);
    }
    ops_free(&program);
    ops_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binary_round_trips),
        cmocka_unit_test(test_text_round_trips),
        cmocka_unit_test(test_trace_holds_any_number),
        cmocka_unit_test(test_open_trace),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_binary_errors),
        cmocka_unit_test(test_text_errors),
        cmocka_unit_test(test_error_messages),
        cmocka_unit_test(test_lenient_keeps_limits),
        cmocka_unit_test(test_lenient_equals_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
