// Unit tests of trace/: recordings and what is refused of them, slots, what makes sense, the checks
// of a replay.
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../trace/replay_block.h"
#include "../../trace/slot_map.h"
#include "../../trace/trace_file.h"

#define HEADER_BYTES sizeof(struct recording_header)

// ---- recordings made by hand ----

struct file {
    uint8_t bytes[4096];
    size_t used;
    uint64_t last_address;
};

static void file_begin(struct file *f)
{
    struct recording_header header = { .version = RECORDING_VERSION, .flags = RECORDING_CLOSED };
    memcpy(header.magic, RECORDING_MAGIC, sizeof header.magic);
    strcpy(header.program, "by hand");
    *f = (struct file){ .used = HEADER_BYTES };
    memcpy(f->bytes, &header, sizeof header);
}

static struct recording_header *header_of(struct file *f)
{
    return (struct recording_header *)(void *)f->bytes;
}

static void file_end(struct file *f)
{
    header_of(f)->data_bytes = f->used - HEADER_BYTES;
}

static void add_byte(struct file *f, unsigned byte)
{
    f->bytes[f->used++] = (uint8_t)byte;
}

static void add_number(struct file *f, uint64_t n)
{
    f->used = (size_t)(varint_put(f->bytes + f->used, n) - f->bytes);
}

static void add_address(struct file *f, uint64_t address)
{
    add_number(f, zigzag(address - f->last_address));
    f->last_address = address;
}

static void add_malloc(struct file *f, uint64_t size, uint64_t address)
{
    add_byte(f, RECORD_MALLOC);
    add_number(f, size);
    add_address(f, address);
}

static void add_free(struct file *f, uint64_t address)
{
    add_byte(f, RECORD_FREE);
    add_address(f, address);
}

static void add_realloc(struct file *f, uint64_t size, uint64_t old, uint64_t address)
{
    add_byte(f, RECORD_REALLOC);
    add_number(f, size);
    add_address(f, old);
    add_address(f, address);
}

static bool decode(struct file *f, struct ops *ops, struct recording_summary *summary,
                   struct ops_error *error)
{
    // A copy of exactly that length: a sanitizer sees a read beyond it.
    uint8_t *copy = malloc(f->used ? f->used : 1);
    assert_non_null(copy);
    memcpy(copy, f->bytes, f->used);
    bool ok = recording_decode(ops, summary, copy, f->used, error);
    free(copy);
    return ok;
}

// The decoded operations as text must be `expected`.
static void expect_text(struct file *f, const char *expected, struct recording_summary *summary)
{
    struct ops ops = { 0 };
    struct ops_error error = { 0 };
    char *text = NULL;
    size_t bytes = 0;
    file_end(f);
    bool ok = decode(f, &ops, summary, &error);
    if (!ok)
        print_error("%zu: %s\n", error.where, error.reason);
    assert_true(ok);
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    for (size_t i = 0; i < ops.count; i++) {
        char line[200];
        ops_format(&ops.list[i], line, sizeof line);
        fprintf(out, "%s\n", line);
    }
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    ops_free(&ops);
}

static void reads_every_kind(void **state)
{
    (void)state;
    struct file f;
    struct recording_summary summary;
    file_begin(&f);
    add_malloc(&f, 100, 0x7f0000001000);
    add_byte(&f, RECORD_CALLOC), add_number(&f, 8), add_number(&f, 5), add_address(&f, 0x10);
    add_byte(&f, RECORD_POSIX_MEMALIGN), add_number(&f, 1), add_number(&f, 64);
    add_address(&f, 0xffffffffffffffc0);
    add_byte(&f, RECORD_USABLE_SIZE), add_address(&f, 0x10);
    add_byte(&f, RECORD_THREAD), add_number(&f, 1);
    add_realloc(&f, 300, 0x7f0000001000, 0x20);
    add_free(&f, 0x10);
    add_byte(&f, RECORD_PVALLOC), add_number(&f, 5000), add_address(&f, 0x1000);
    add_byte(&f, RECORD_TIME), add_number(&f, 1500);
    add_byte(&f, RECORD_TIME), add_number(&f, 499);
    add_byte(&f, RECORD_TIME), add_number(&f, 1);
    add_byte(&f, RECORD_TRIM);
    add_byte(&f, RECORD_EXIT);
    expect_text(&f,
                "t0 s0 = malloc 100\nt0 s1 = calloc 5 8\nt0 s2 = posix_memalign 64 1\n"
                "t0 usable_size s1\nt1 realloc s0 300\nt1 free s1\nt1 s1 = pvalloc 5000\n"
                "t1 tick 1\nt1 tick 1\nt1 trim 0\nt1 exit\n",
                &summary);
    assert_int_equal(summary.records, 13);
    assert_int_equal(summary.frees_unknown + summary.frees_missed, 0);
    assert_string_equal(summary.header.program, "by hand");
}

static void counts_what_history_lacks(void **state)
{
    (void)state;
    struct file f;
    struct recording_summary summary;
    file_begin(&f);
    add_free(&f, 0x500);              // never seen: left out
    add_realloc(&f, 9, 0x600, 0x100); // never seen: an allocation
    add_malloc(&f, 1, 0x100);         // freed unseen
    add_malloc(&f, 2, 0x200);
    add_realloc(&f, 3, 0x100, 0x200); // onto a block that was freed unseen
    add_realloc(&f, 0, 0x200, 0x200); // an allocator that gives a block for 0 bytes
    expect_text(&f,
                "t0 s0 = malloc 9\nt0 free s0\nt0 s0 = malloc 1\nt0 s1 = malloc 2\nt0 free s1\n"
                "t0 realloc s0 3\nt0 realloc s0 1\n",
                &summary);
    assert_int_equal(summary.frees_unknown, 2);
    assert_int_equal(summary.frees_missed, 2);
}

static void an_open_recording_ends_with_its_records(void **state)
{
    (void)state;
    struct file f;
    struct recording_summary summary;
    file_begin(&f);
    add_malloc(&f, 100, 0x10);
    file_end(&f);
    header_of(&f)->flags = 0;
    f.used += 100; // unused space, not yet cut off
    struct ops ops = { 0 };
    struct ops_error error;
    assert_true(decode(&f, &ops, &summary, &error));
    assert_int_equal(ops.count, 1);
    ops_free(&ops);
}

// ---- what is refused of a recording ----

static void expect_refused(struct file *f, size_t where, const char *reason)
{
    struct ops ops = { 0 };
    struct recording_summary summary;
    struct ops_error error = { 0 };
    assert_false(decode(f, &ops, &summary, &error));
    ops_free(&ops);
    if (error.where != where || !strstr(error.reason, reason))
        print_error("%zu: %s\nexpected %zu: %s\n", error.where, error.reason, where, reason);
    assert_false(error.text);
    assert_int_equal(error.where, where);
    assert_non_null(strstr(error.reason, reason));
}

static void refuses_headers(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint8_t value;
        const char *reason;
        size_t where;
    } cases[] = {
        { 0, 'X', "no recording", 0 },         { 8, 2, "version 2", 8 },
        { 10, 9, "unknown flags 0x9", 10 },    { 20, 1, "reserved word", 20 },
        { 71, 'x', "name does not end", 40 },  { 72, 1, "reserved byte is 1", 72 },
        { 127, 7, "reserved byte is 7", 127 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct file f;
        file_begin(&f);
        f.bytes[cases[i].offset] = cases[i].value;
        expect_refused(&f, cases[i].where, cases[i].reason);
    }
}

static void refuses_wrong_lengths(void **state)
{
    (void)state;
    struct file whole;
    file_begin(&whole);
    add_malloc(&whole, 1000, 0x123456789000);
    add_free(&whole, 0x123456789000);
    file_end(&whole);
    for (size_t length = 0; length < whole.used; length++) {
        struct file cut = whole;
        cut.used = length;
        if (length < HEADER_BYTES)
            expect_refused(&cut, length, "ends inside of the header");
        else if (length == HEADER_BYTES || length == whole.used - 2)
            expect_refused(&cut, length, "bytes of records are missing");
        else
            expect_refused(&cut, length < whole.used - 2 ? HEADER_BYTES : whole.used - 2,
                           "ends inside of this record");
    }
    whole.used++;
    expect_refused(&whole, whole.used - 1, "1 bytes behind the end");
}

// Each case is a recording of one good record of 4 bytes, and then these bytes.
static void refuses_records(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[16];
        size_t count;
        size_t where; // from the bytes on
        const char *reason;
    } cases[] = {
        { { RECORD_NONE }, 1, 0, "unknown kind of record 0" },
        { { RECORD_KINDS }, 1, 0, "unknown kind of record 15" },
        { { 0xff }, 1, 0, "unknown kind of record 255" },
        { { RECORD_MALLOC, 0x80, 0x00, 2 }, 4, 1, "needless zero bytes" },
        { { RECORD_MALLOC, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 2 }, 12, 1, "64 bits" },
        { { RECORD_MALLOC, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2 },
          12,
          1,
          "bytes or more" },
        { { RECORD_CALLOC, 255, 255, 255, 255, 31, 255, 255, 255, 255, 31, 2 },
          12,
          6,
          "bytes or more" },
        { { RECORD_FREE, 0x1f }, 2, 1, "address 0" },
        { { RECORD_ALIGNED_ALLOC, 1, 0, 2 }, 4, 2, "alignment 0" },
        { { RECORD_MEMALIGN, 1, 24, 2 }, 4, 2, "alignment 24" },
        { { RECORD_POSIX_MEMALIGN, 1, 4, 2 }, 4, 2, "alignment 4" },
        { { RECORD_THREAD, 2 }, 2, 1, "thread 2 after 1 threads" },
        { { RECORD_TIME, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 }, 11, 1, "microseconds" },
        { { RECORD_REALLOC, 1, 0x20 }, 3, 0, "ends inside of this record" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct file f;
        file_begin(&f);
        add_malloc(&f, 1, 0x10);
        size_t start = f.used;
        for (size_t b = 0; b < cases[i].count; b++)
            add_byte(&f, cases[i].bytes[b]);
        file_end(&f);
        expect_refused(&f, start + cases[i].where, cases[i].reason);
    }
}

// No bytes may make the reader fail otherwise than by refusing; accepted ones make sense.
static void survives_random_bytes(void **state)
{
    (void)state;
    uint64_t random = 0x2545f4914f6cdd1d;
    unsigned accepted = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct file f;
        file_begin(&f);
        for (unsigned i = 0; i < round % 64; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            add_byte(&f, (unsigned)(random >> 33) % (round % 2 ? 256 : 20));
        }
        file_end(&f);
        struct ops ops = { 0 };
        struct recording_summary summary;
        struct ops_error error;
        struct block_table blocks;
        if (decode(&f, &ops, &summary, &error)) {
            accepted++;
            assert_true(blocks_build(&blocks, &ops, &error));
            blocks_free(&blocks);
        }
        ops_free(&ops);
    }
    assert_in_range(accepted, 100, 19999);
}

// ---- slots ----

static void slot_map_equals_a_plain_table(void **state)
{
    (void)state;
    enum { ADDRESSES = 3000, STEPS = 200000 };
    static uint32_t slot_of[ADDRESSES]; // + 1; 0: none
    struct slot_map map = { 0 };
    uint64_t random = 88172645463325252u;
    size_t live = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned i = (unsigned)(random >> 20) % ADDRESSES;
        uint64_t address = 0x7f0000000000 + (uint64_t)i * 16;
        struct slot_entry *entry = slot_map_find(&map, address);
        assert_int_equal(entry ? entry->slot + 1 : 0, slot_of[i]);
        uint32_t slot;
        if (entry) {
            bool keep = random & 1;
            slot = entry->slot;
            assert_true(slot_map_remove(&map, entry, keep));
            if (keep) // a realloc in place
                assert_true(slot_map_put(&map, address, slot));
            slot_of[i] = keep ? slot + 1 : 0;
            live -= !keep;
        } else {
            assert_true(slot_map_add(&map, address, &slot));
            slot_of[i] = slot + 1;
            live++;
        }
        assert_int_equal(map.live, live);
        assert_true(map.slots <= ADDRESSES);
    }
    slot_map_free(&map);
}

// ---- what makes sense ----

static void refuses_nonsense(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t index;
        const char *reason;
    } cases[] = {
        { "t0 s0 = malloc 1\nt0 s0 = malloc 2\n", 1, "slot 0 still has a block" },
        { "t0 s0 = malloc 1\nt0 free s0\nt0 free s0\n", 2, "slot 0 has no block" },
        { "t0 usable_size s0\n", 0, "slot 0 has no block" },
        { "t0 s0 = malloc 1\nt0 realloc s0 0\nt0 touch s0 1\n", 2, "slot 0 has no block" },
        { "t0 s1 = malloc 1\n", 0, "slot 1 after 0 slots" },
        { "t0 s0 = aligned_alloc 3 1\n", 0, "alignment 3" },
        { "t0 s0 = posix_memalign 4 1\n", 0, "alignment 4" },
        { "t0 s0 = malloc 0x7fffffffffffffff\n", 0, "PTRDIFF_MAX" },
        { "t0 s0 = calloc 0x100000000 0x100000000\n", 0, "PTRDIFF_MAX" },
        { "t0 s0 = malloc 1\nt0 misuse double_free s0 0\n", 1, "'misuse' has no place" },
        { "t0 fail_os 1 1\n", 0, "'fail_os' has no place" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ops ops = { 0 };
        struct ops_error error = { 0 };
        struct block_table table;
        char text[300];
        snprintf(text, sizeof text, "threads 1\n%s", cases[i].text);
        assert_true(ops_parse(&ops, text, strlen(text), &error));
        assert_false(blocks_build(&table, &ops, &error));
        assert_int_equal(error.where, cases[i].index);
        assert_non_null(strstr(error.reason, cases[i].reason));
        ops_free(&ops);
    }
}

// The offset named for an operation is where its bytes begin.
static void locates_operations(void **state)
{
    (void)state;
    static const char text[] =
        "threads 2\nt0 s0 = malloc 1000\nt1 s1 = calloc 300 300\nt0 free s1\n"
        "t0 free s1\n";
    struct ops ops = { 0 };
    struct ops_error error;
    uint8_t bytes[200];
    assert_true(ops_parse(&ops, text, sizeof text - 1, &error));
    for (unsigned form = OPS_RECORDS; form <= OPS_TRACE; form++) {
        size_t whole = ops_encode(&ops, form, bytes, sizeof bytes, &error);
        size_t count = ops.count;
        ops.header.form = (uint8_t)form;
        for (size_t i = 0; i < count; i++) {
            struct ops_error at = { .reason = "why" };
            trace_locate(&ops, i, &at);
            ops.count = i;
            assert_int_equal(at.where, ops_encode(&ops, form, bytes, sizeof bytes, &error));
            assert_true(at.where < whole);
            assert_non_null(strstr(at.reason, "why"));
            ops.count = count;
        }
    }
    ops_free(&ops);
}

// ---- checks of a replay ----

static void replay_sees_wrong_contents(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        size_t offset;
        enum replay_fill fill;
        bool seen;
    } cases[] = {
        { 1, 0, FILL_ENDS, true },        { 7, 6, FILL_ENDS, true },
        { 100, 3, FILL_ENDS, true },      { 100, 99, FILL_ENDS, true },
        { 100, 50, FILL_ENDS, false },    { 100, 50, FILL_ALL, true },
        { 9000, 4096, FILL_ENDS, false }, { 9000, 4096, FILL_PAGES, true },
        { 9000, 8192, FILL_PAGES, true }, { 9000, 8193, FILL_PAGES, false },
        { 9000, 8193, FILL_ALL, true },   { 16, 15, FILL_ENDS, true },
    };
    static const enum op_kind ends[] = { OP_FREE, OP_REALLOC, OP_TOUCH };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
            struct replay_block block = { 0 };
            char reason[120] = "";
            struct op op = { .kind = OP_MALLOC, .size = cases[i].size };
            assert_true(replay_block_op(&block, &op, 7, cases[i].fill, reason, sizeof reason));
            ((unsigned char *)block.p)[cases[i].offset] ^= 0x40;
            op = (struct op){ .kind = (uint8_t)ends[e], .size = cases[i].size };
            bool ok = replay_block_op(&block, &op, 8, cases[i].fill, reason, sizeof reason);
            assert_int_equal(ok, !cases[i].seen);
            if (!ok)
                assert_non_null(strstr(reason, "changed at offset"));
            free(block.p);
        }
}

static void replay_of_sound_blocks_is_silent(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 7, 8, 9, 15, 16, 17, 24, 4095, 4096, 4104, 4105, 70000 };
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    char reason[120];
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < COUNT; j++)
            for (unsigned fill = FILL_ENDS; fill <= FILL_ALL; fill++) {
                struct replay_block block = { 0 };
                struct op steps[] = {
                    { .kind = OP_CALLOC, .size = sizes[i], .arg = 1 },
                    { .kind = OP_TOUCH },
                    { .kind = OP_REALLOC, .size = sizes[j] },
                    { .kind = OP_USABLE_SIZE },
                    { .kind = OP_FREE },
                };
                for (unsigned s = 0; s < sizeof steps / sizeof steps[0]; s++)
                    if (block.p || s < 3)
                        assert_true(
                            replay_block_op(&block, &steps[s], s, fill, reason, sizeof reason));
                    else
                        assert_int_equal(sizes[j], 0);
                assert_null(block.p);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(counts_what_history_lacks),
        cmocka_unit_test(an_open_recording_ends_with_its_records),
        cmocka_unit_test(refuses_headers),
        cmocka_unit_test(refuses_wrong_lengths),
        cmocka_unit_test(refuses_records),
        cmocka_unit_test(survives_random_bytes),
        cmocka_unit_test(slot_map_equals_a_plain_table),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(locates_operations),
        cmocka_unit_test(replay_sees_wrong_contents),
        cmocka_unit_test(replay_of_sound_blocks_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
