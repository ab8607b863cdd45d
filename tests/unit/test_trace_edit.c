// Unit tests of trace/edit.h and trace/replay.h on random traces of several threads: each result
// makes sense, has what it should have, and can be replayed.
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../trace/edit.h"
#include "../../trace/replay.h"

#define THREADS 5
#define SLOTS 40

static uint64_t random_state;

static unsigned below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % n;
}

// A trace of `ops` operations that makes sense. Slots and threads are first named in order.
static void make(struct trace *trace, unsigned ops, uint64_t seed)
{
    bool live[SLOTS] = { 0 };
    unsigned slots = 0, threads = 1;
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    memset(trace, 0, sizeof *trace);
    ops_clear(&trace->ops);
    while (trace->ops.count < ops) {
        unsigned slot = below(slots < SLOTS ? slots + 1 : slots);
        struct op op = { .thread = (uint16_t)below(threads), .slot = slot, .size = below(3000) };
        threads += threads < THREADS && below(20) == 0;
        if (below(15) == 0)
            op = (struct op){ .kind = OP_TICK, .thread = op.thread, .size = 1 + below(3) };
        else if (below(50) == 0)
            op = (struct op){ .kind = OP_EXIT, .thread = op.thread };
        else if (!live[slot])
            op.kind = below(3) ? OP_MALLOC : OP_REALLOC;
        else
            op.kind = below(3) ? OP_FREE : OP_REALLOC;
        if (op.kind != OP_TICK && op.kind != OP_EXIT) {
            live[slot] = op.kind != OP_FREE && (op.kind != OP_REALLOC || !live[slot] || op.size);
            slots += slot == slots;
            op.size = op.kind == OP_FREE ? 0 : op.size;
        }
        assert_true(ops_push(&trace->ops, op));
    }
    struct ops_error error;
    assert_true(blocks_build(&trace->blocks, &trace->ops, &error));
}

// Makes a trace of operations that an edit gave; they must make sense.
static void adopt(struct trace *trace, struct ops *ops)
{
    struct ops_error error = { 0 };
    *trace = (struct trace){ .ops = *ops };
    *ops = (struct ops){ 0 };
    bool ok = blocks_build(&trace->blocks, &trace->ops, &error);
    if (!ok)
        print_error("operation %zu: %s\n", error.where, error.reason);
    assert_true(ok);
}

static void expect_replay(const struct trace *trace, bool real_threads)
{
    struct replay_options options = { .real_threads = real_threads,
                                      .fill = FILL_ALL,
                                      .repeats = 2 };
    struct replay_result result;
    struct ops_error error = { 0 };
    bool ok = trace_replay(trace, &options, &result, &error);
    if (!ok)
        print_error("operation %zu: %s\n", error.where, error.reason);
    assert_true(ok);
    assert_int_equal(result.ops, trace->ops.count * 2);
    assert_true(result.rss_peak_kib > 0);
}

static const struct cut_options everything = { .first = UINT32_MAX, .to_ms = UINT64_MAX };

static uint64_t time_of(const struct ops *ops)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < ops->count; i++)
        ms += ops->list[i].kind == OP_TICK ? ops->list[i].size : 0;
    return ms;
}

static size_t count_kind(const struct ops *ops, unsigned kind)
{
    size_t count = 0;
    for (size_t i = 0; i < ops->count; i++)
        count += ops->list[i].kind == kind;
    return count;
}

static void cutting_nothing_off_changes_nothing_but_ticks(void **state)
{
    (void)state;
    struct trace whole, same;
    struct ops out;
    struct ops_error error;
    make(&whole, 2000, 1);
    assert_true(trace_cut(&out, &whole, &everything, &error));
    adopt(&same, &out);
    assert_int_equal(same.ops.count - count_kind(&same.ops, OP_TICK),
                     whole.ops.count - count_kind(&whole.ops, OP_TICK));
    for (unsigned kind = 0; kind < OP_KIND_COUNT; kind++)
        if (kind != OP_TICK)
            assert_int_equal(count_kind(&same.ops, kind), count_kind(&whole.ops, kind));
    assert_int_equal(same.blocks.count, whole.blocks.count);
    for (size_t b = 0; b < whole.blocks.count; b++) {
        assert_int_equal(same.blocks.list[b].size, whole.blocks.list[b].size);
        assert_int_equal(same.blocks.list[b].size_max, whole.blocks.list[b].size_max);
        assert_int_equal(same.blocks.list[b].ops, whole.blocks.list[b].ops);
    }
    trace_free(&whole);
    trace_free(&same);
}

static void every_part_makes_sense(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct trace whole, part;
        struct ops out;
        struct ops_error error;
        bool threads[THREADS] = { 0 };
        struct cut_options options = everything;
        make(&whole, 100 + (unsigned)seed, seed);
        options.skip = below(120);
        options.first = 1 + below(150);
        options.keep_live = below(2);
        options.free_at_end = below(2);
        if (below(2)) {
            options.from_ms = below(10);
            options.to_ms = options.from_ms + below(10);
        }
        if (below(2)) {
            threads[below(THREADS)] = threads[below(THREADS)] = true;
            options.threads = threads;
            options.threads_max = THREADS;
        }
        assert_true(trace_cut(&out, &whole, &options, &error));
        adopt(&part, &out);
        if (options.free_at_end)
            for (size_t b = 0; b < part.blocks.count; b++)
                assert_int_not_equal(part.blocks.list[b].died, NEVER);
        expect_replay(&part, false);
        trace_free(&whole);
        trace_free(&part);
    }
}

static void live_blocks_keep_their_size(void **state)
{
    (void)state;
    static const char text[] = "threads 2\nt0 s0 = malloc 10\nt0 s1 = malloc 20\nt1 realloc s0 30\n"
                               "t1 free s1\nt0 free s0\n";
    struct trace whole = { 0 };
    struct ops out;
    struct ops_error error;
    struct cut_options options = everything;
    char line[100];
    assert_true(ops_parse(&whole.ops, text, sizeof text - 1, &error));
    assert_true(blocks_build(&whole.blocks, &whole.ops, &error));
    options.skip = 4; // only the last operation
    assert_true(trace_cut(&out, &whole, &options, &error));
    assert_int_equal(out.count, 2);
    ops_format(&out.list[0], line, sizeof line);
    assert_string_equal(line, "t0 s0 = malloc 30");
    ops_format(&out.list[1], line, sizeof line);
    assert_string_equal(line, "t0 free s0");
    ops_free(&out);
    trace_free(&whole);
}

static void trimming_keeps_shares(void **state)
{
    (void)state;
    struct trace whole, small;
    struct ops out;
    struct ops_error error;
    struct trim_options options = { .ops = 5000, .size_max = UINT64_MAX };
    make(&whole, 50000, 3);
    assert_true(trace_trim(&out, &whole, &options, &error));
    adopt(&small, &out);
    assert_in_range(small.ops.count, 3000, 9000);
    assert_in_range(time_of(&small.ops), time_of(&whole.ops) * 9 / 10, time_of(&whole.ops));
    // The share of blocks up to 1000 bytes, in percent, and that of cross-thread frees.
    const struct trace *both[] = { &whole, &small };
    unsigned share[2][2];
    for (unsigned t = 0; t < 2; t++) {
        size_t low = 0, crossing = 0;
        for (size_t b = 0; b < both[t]->blocks.count; b++) {
            low += both[t]->blocks.list[b].size_max <= 1023;
            crossing += both[t]->blocks.list[b].thread != both[t]->blocks.list[b].died_thread;
        }
        share[t][0] = (unsigned)(100 * low / both[t]->blocks.count);
        share[t][1] = (unsigned)(100 * crossing / both[t]->blocks.count);
    }
    assert_in_range(share[1][0] + 10, share[0][0], share[0][0] + 20);
    assert_in_range(share[1][1] + 10, share[0][1], share[0][1] + 20);
    expect_replay(&small, true);
    trace_free(&small);

    options.size_max = 100;
    assert_true(trace_trim(&out, &whole, &options, &error));
    adopt(&small, &out);
    for (size_t b = 0; b < small.blocks.count; b++)
        assert_true(small.blocks.list[b].size_max <= 100);
    trace_free(&small);
    trace_free(&whole);
}

static void merged_traces_keep_their_own_order(void **state)
{
    (void)state;
    struct trace both[2], merged;
    struct ops out;
    struct ops_error error;
    make(&both[0], 700, 5);
    make(&both[1], 300, 6);
    size_t blocks = both[0].blocks.count + both[1].blocks.count;
    size_t without_ticks = 1000 - count_kind(&both[0].ops, OP_TICK) -
                           count_kind(&both[1].ops, OP_TICK);
    for (unsigned in_turn = 0; in_turn < 2; in_turn++) {
        assert_true(trace_merge(&out, both, 2, in_turn, &error));
        adopt(&merged, &out);
        assert_int_equal(merged.ops.count - count_kind(&merged.ops, OP_TICK), without_ticks);
        assert_int_equal(merged.blocks.count, blocks);
        assert_int_equal(merged.ops.header.threads,
                         both[0].ops.header.threads + both[1].ops.header.threads);
        assert_true(time_of(&merged.ops) <= time_of(&both[0].ops));
        expect_replay(&merged, true);
        trace_free(&merged);
    }
    trace_free(&both[0]);
    trace_free(&both[1]);
}

static void real_threads_replay_random_traces(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct trace trace;
        make(&trace, 3000, seed);
        expect_replay(&trace, true);
        trace_free(&trace);
    }
}

static void files_keep_everything(void **state)
{
    (void)state;
    struct trace trace, again;
    struct ops_error error;
    char path[] = "/tmp/hakmem-trace-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    make(&trace, 500, 9);
    for (unsigned form = OPS_RECORDS; form <= OPS_TRACE; form++) {
        assert_true(trace_save(&trace.ops, form, path, &error));
        assert_true(trace_load(&again, path, false, &error));
        assert_int_equal(again.ops.count, trace.ops.count);
        for (size_t i = 0; i < trace.ops.count; i++) {
            assert_int_equal(again.ops.list[i].kind, trace.ops.list[i].kind);
            assert_int_equal(again.ops.list[i].thread, trace.ops.list[i].thread);
            assert_int_equal(again.ops.list[i].slot, trace.ops.list[i].slot);
            assert_int_equal(again.ops.list[i].size, trace.ops.list[i].size);
        }
        trace_free(&again);
    }
    unlink(path);
    assert_false(trace_load(&again, path, false, &error));
    assert_non_null(strstr(error.reason, "cannot open"));
    assert_false(trace_load(&again, "/tmp", false, &error));
    assert_non_null(strstr(error.reason, "no regular file"));
    assert_false(trace_save(&trace.ops, OPS_TRACE, "/nowhere/file", &error));
    assert_non_null(strstr(error.reason, "cannot write"));
    trace_free(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cutting_nothing_off_changes_nothing_but_ticks),
        cmocka_unit_test(every_part_makes_sense),
        cmocka_unit_test(live_blocks_keep_their_size),
        cmocka_unit_test(trimming_keeps_shares),
        cmocka_unit_test(merged_traces_keep_their_own_order),
        cmocka_unit_test(real_threads_replay_random_traces),
        cmocka_unit_test(files_keep_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
