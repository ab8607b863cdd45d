// mutator.c: edits of programs, chosen so that rare states of an allocator are near.
//
// An input is decoded, edited one to four times, and encoded again; one in three of several threads
// keeps its operations and gets another schedule. Edits work on runs of
// operations as well as on single ones, because what fills a magazine, empties a slab or crosses a
// tier is a run of similar operations. Sizes are drawn from the places where allocators change
// their mind (class and page sizes, powers of two, the ends of the number line), and as often from
// the program itself, because blocks of one class must meet. Kinds are weighted: no program gets
// far if every second operation forks.
//
// The programs are static: one caller at a time.
#include "mutator.h"

#include "ops.h"

#include <string.h>

#define OPS_MAX 4096u
#define SLOTS_NEAR 24u // most operations name one of the first slots, so that they meet

static struct ops program, other;
static uint64_t state;

static const struct ops_limits wide = { .ops_max = OPS_MAX,
                                        .slots = OPS_RECORD_SLOTS,
                                        .threads = OPS_RECORD_THREADS,
                                        .size_max = UINT64_MAX,
                                        .fail_min = UINT64_MAX };

// How often an operation of a kind is put in; those not named 1.
static const uint8_t weights[OP_KIND_COUNT] = {
    [OP_MALLOC] = 60,      [OP_CALLOC] = 20,       [OP_REALLOC] = 40,
    [OP_REALLOCARRAY] = 6, [OP_ALIGNED_ALLOC] = 8, [OP_POSIX_MEMALIGN] = 6,
    [OP_MEMALIGN] = 6,     [OP_VALLOC] = 2,        [OP_PVALLOC] = 2,
    [OP_FREE] = 80,        [OP_FREE_SIZED] = 6,    [OP_FREE_ALIGNED_SIZED] = 4,
    [OP_USABLE_SIZE] = 4,  [OP_TOUCH] = 8,         [OP_TRIM] = 6,
    [OP_FLUSH] = 12,       [OP_EXIT] = 6,          [OP_START] = 2,
    [OP_TICK] = 8,         [OP_FAIL_OS] = 10,      [OP_AUDIT] = 4,
    [OP_STATS] = 2,        [OP_BARRIER] = 6,
};

// ---- chance ----

static uint64_t bits(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t x = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static size_t below(size_t n)
{
    return n ? bits() % n : 0;
}

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

// ---- numbers ----

static uint64_t class_size(void)
{
    unsigned doubling = (unsigned)below(13); // to 1 MiB: small and normal geometry, all tiers
    if (doubling == 0)
        return 16 * (1 + below(8));
    return ((uint64_t)(5 + below(4)) << doubling) * 16;
}

static uint64_t random_size(void)
{
    uint64_t near = (uint64_t)below(5) - 2;
    switch (below(16)) {
    case 0:
        return below(16);
    case 1:
        return ((uint64_t)1 << below(27)) + near;
    case 2:
        return below(40) * 4096 + near;
    case 3:
        return below(20) * 65536 + near;
    case 4:
        return ((uint64_t)1 << below(64)) + near;
    case 5:
        return one_in(2) ? (uint64_t)INT64_MAX + near : UINT64_MAX - below(70000);
    case 6:
        return below((size_t)1 << below(25));
    case 7:
    case 8:
    case 9:
    case 10:
        if (program.count)
            return program.list[below(program.count)].size + (one_in(4) ? near : 0);
        return 64;
    default:
        return class_size() + (one_in(2) ? near : 0);
    }
}

static uint32_t random_slot(void)
{
    if (program.slots && one_in(3))
        return (uint32_t)below(program.slots);
    return (uint32_t)below(one_in(8) ? 256 : SLOTS_NEAR);
}

static uint64_t random_arg(unsigned kind)
{
    switch (kind) {
    case OP_CALLOC:
    case OP_REALLOCARRAY:
        return one_in(12) ? random_size() : 1 + below(one_in(3) ? 300 : 4);
    case OP_FAIL_OS:
        return 1 + below(one_in(4) ? 40 : 4);
    case OP_MISUSE:
        return below(MISUSE_COUNT);
    case OP_CORRUPT:
        return below(STRUCTURE_COUNT);
    default: // an alignment
        return one_in(16) ? random_size() : (uint64_t)1 << below(one_in(8) ? 64 : 18);
    }
}

static void random_numbers(struct op *op)
{
    unsigned fields = ops_fields(op->kind);
    op->slot = fields & (OPS_DST | OPS_SLOT) ? random_slot() : 0;
    op->arg = fields & OPS_ARG ? random_arg(op->kind) : 0;
    op->size = !(fields & OPS_SIZE)     ? 0
               : op->kind == OP_TICK    ? below(one_in(2) ? 20 : 5000)
               : op->kind == OP_FAIL_OS ? 1 + below(4)
               : op->kind == OP_TRIM    ? (one_in(3) ? random_size() : 0)
                                        : random_size();
}

static struct op random_op(void)
{
    struct op op = { .thread = (uint16_t)below(program.header.threads) };
    unsigned total = 0;
    for (unsigned k = 0; k < OP_KIND_COUNT; k++)
        total += weights[k] ? weights[k] : 1;
    size_t at = below(total);
    for (unsigned k = 0; k < OP_KIND_COUNT; k++) {
        unsigned weight = weights[k] ? weights[k] : 1;
        if (at < weight) {
            op.kind = (uint8_t)k;
            break;
        }
        at -= weight;
    }
    // These cost a process each.
    if ((op.kind == OP_FORK || op.kind == OP_MISUSE) && !one_in(30))
        op.kind = OP_FREE;
    random_numbers(&op);
    return op;
}

// ---- edits ----

// Makes room for n operations at `at`: how many there is room for.
static size_t open_gap(size_t at, size_t n)
{
    size_t room = OPS_MAX - program.count;
    n = n < room ? n : room;
    for (size_t i = 0; i < n; i++)
        if (!ops_push(&program, (struct op){ .kind = OP_AUDIT }))
            return 0;
    if (n)
        memmove(program.list + at + n, program.list + at,
                (program.count - n - at) * sizeof *program.list);
    return n;
}

static void insert_some(void)
{
    size_t at = below(program.count + 1);
    size_t n = open_gap(at, 1 + below(4));
    for (size_t i = 0; i < n; i++)
        program.list[at + i] = random_op();
}

static void delete_run(void)
{
    size_t at = below(program.count);
    size_t n = 1 + below(one_in(4) ? program.count : 4);
    if (program.count == 0)
        return;
    n = n < program.count - at ? n : program.count - at;
    memmove(program.list + at, program.list + at + n,
            (program.count - at - n) * sizeof *program.list);
    program.count -= n;
}

static void copy_run(void)
{
    static struct op run[64];
    size_t from = below(program.count), n = 1 + below(64);
    if (program.count == 0)
        return;
    n = n < program.count - from ? n : program.count - from;
    memcpy(run, program.list + from, n * sizeof *run);
    size_t at = below(program.count + 1);
    uint32_t shift = one_in(2) ? (uint32_t)below(SLOTS_NEAR) : 0;
    uint16_t thread = (uint16_t)below(program.header.threads);
    bool to_thread = one_in(3);
    n = open_gap(at, n);
    for (size_t i = 0; i < n; i++) {
        if (ops_fields(run[i].kind) & (OPS_DST | OPS_SLOT))
            run[i].slot = (run[i].slot + shift) % OPS_RECORD_SLOTS;
        if (to_thread)
            run[i].thread = thread;
        program.list[at + i] = run[i];
    }
}

// Fills consecutive slots with blocks of one size, and frees them in some order, perhaps elsewhere.
static void insert_wave(void)
{
    size_t at = below(program.count + 1), blocks = 1 + below(one_in(4) ? 120 : 20);
    uint64_t size = random_size();
    uint32_t first = random_slot();
    uint16_t from = (uint16_t)below(program.header.threads);
    uint16_t to = one_in(2) ? from : (uint16_t)below(program.header.threads);
    bool reverse = one_in(2);
    unsigned gap = one_in(3) ? 1 + (unsigned)below(4) : 0; // one in so many stays
    size_t n = open_gap(at, one_in(4) ? blocks : 2 * blocks);
    for (size_t i = 0; i < n; i++) {
        bool frees = i >= blocks;
        size_t k = frees ? (reverse ? n - 1 - i : i - blocks) : i;
        struct op op = { .kind = frees       ? OP_FREE
                                 : one_in(9) ? OP_CALLOC
                                             : OP_MALLOC,
                         .thread = frees ? to : from,
                         .slot = (uint32_t)((first + k) % 256),
                         .size = frees ? 0 : size,
                         .arg = 0 };
        if (op.kind == OP_CALLOC)
            op.arg = 1;
        if (frees && gap && k % (gap + 1) == 0)
            op = (struct op){ .kind = OP_TOUCH, .thread = to, .slot = op.slot, .size = k };
        program.list[at + i] = op;
    }
}

static void change_one(void)
{
    if (program.count == 0)
        return;
    struct op *op = &program.list[below(program.count)];
    switch (below(5)) {
    case 0:
        op->thread = (uint16_t)below(program.header.threads);
        return;
    case 1:
        if (ops_fields(op->kind) & OPS_SIZE)
            op->size = random_size();
        return;
    case 2:
        if (ops_fields(op->kind) & (OPS_DST | OPS_SLOT))
            op->slot = random_slot();
        return;
    case 3:
        random_numbers(op);
        return;
    default:
        *op = random_op();
        return;
    }
}

static void swap_two(void)
{
    if (program.count < 2)
        return;
    struct op *a = &program.list[below(program.count)], *b = &program.list[below(program.count)];
    struct op c = *a;
    *a = *b;
    *b = c;
}

static void change_header(void)
{
    struct ops_header *header = &program.header;
    switch (below(4)) {
    case 0:
        header->seed = (uint32_t)bits();
        return;
    case 1:
        header->threads = (uint16_t)(1 + below(4));
        return;
    case 2:
        header->strategy = (uint8_t)below(OPS_POS + 1);
        header->depth = (uint8_t)(header->strategy == OPS_PCT ? 2 + below(4) : 0);
        return;
    default:
        header->geometry = (uint8_t)below(OPS_SMALL + 1);
        return;
    }
}

static void change_decisions(void)
{
    size_t count = program.decision_count;
    if (count && one_in(3)) {
        program.decisions[below(count)] = program.decisions[count - 1];
        program.decision_count--;
    } else if (count && one_in(2)) {
        struct decision *d = &program.decisions[below(count)];
        if (one_in(2))
            d->step = one_in(2) ? (uint32_t)below(200) : d->step + (uint32_t)below(9) - 4;
        else
            d->choice = (uint8_t)below(6);
    } else if (count < 64) {
        // Nearly all decisions are preemptions and stale reads.
        struct decision d = { (uint16_t)below(program.header.threads),
                              (uint8_t)(one_in(8) ? below(DECIDE_COUNT) : below(2)),
                              (uint8_t)(1 + below(4)), (uint32_t)below(one_in(2) ? 50 : 1000) };
        ops_push_decision(&program, d);
    }
}

// Another schedule of the same program: what a program can show, few of its schedules do.
static void reschedule(void)
{
    struct ops_header *header = &program.header;
    header->seed = (uint32_t)bits();
    if (header->strategy == OPS_DECIDED && !one_in(4)) {
        change_decisions();
    } else if (header->strategy == OPS_DECIDED || one_in(4)) {
        header->strategy = (uint8_t)(OPS_RANDOM + below(OPS_POS));
        header->depth = (uint8_t)(header->strategy == OPS_PCT ? 2 + below(4) : 0);
    }
}

static void edit(void)
{
    switch (below(program.header.threads > 1 ? 14 : 12)) {
    case 0:
    case 1:
    case 2:
        insert_some();
        return;
    case 3:
    case 4:
        delete_run();
        return;
    case 5:
        copy_run();
        return;
    case 6:
        insert_wave();
        return;
    case 7:
    case 8:
    case 9:
        change_one();
        return;
    case 10:
        swap_two();
        return;
    case 11:
        change_header();
        return;
    default:
        change_decisions();
        return;
    }
}

// ---- inputs ----

static void load(struct ops *into, const uint8_t *data, size_t size)
{
    if (ops_decode_lenient(into, data, size, &wide))
        return;
    ops_clear(into);
    into->header.threads = (uint16_t)(1 + below(3));
}

// Threads that were taken away leave no operations behind.
static void tidy(void)
{
    for (size_t i = 0; i < program.count; i++)
        program.list[i].thread %= program.header.threads;
    for (size_t i = 0; i < program.decision_count; i++)
        program.decisions[i].thread %= program.header.threads;
}

// Encodes as much of the program as fits.
static size_t store(uint8_t *out, size_t capacity)
{
    struct ops_error error;
    tidy();
    size_t room = (capacity - OPS_HEADER_BYTES) / OPS_RECORD_BYTES;
    program.count = program.count < room ? program.count : room;
    room = (capacity - OPS_HEADER_BYTES - program.count * OPS_RECORD_BYTES) / OPS_DECISION_BYTES;
    program.decision_count = program.decision_count < room ? program.decision_count : room;
    // A number that was moved off what records can say becomes a plain one.
    size_t bytes;
    while ((bytes = ops_encode(&program, OPS_RECORDS, out, capacity, &error)) == 0) {
        program.list[error.where].size &= UINT32_MAX;
        program.list[error.where].arg &= 0xffffff;
        program.list[error.where].slot %= OPS_RECORD_SLOTS;
    }
    return bytes;
}

size_t mutator_mutate(uint8_t *data, size_t size, size_t capacity, uint32_t seed)
{
    state = (uint64_t)seed << 32 ^ size;
    load(&program, data, size);
    if (program.header.threads > 1 && one_in(3))
        reschedule();
    else
        for (size_t edits = 1 + below(4); edits > 0; edits--)
            edit();
    if (program.count == 0)
        insert_some();
    return store(data, capacity);
}

size_t mutator_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                     size_t capacity, uint32_t seed)
{
    state = (uint64_t)seed << 32 ^ (a_size + b_size);
    load(&program, a, a_size);
    load(&other, b, b_size);
    size_t from = below(other.count), n = below(other.count - from + 1);
    size_t at = below(program.count + 1);
    // Half of the time the rest of the first program goes, else the piece is put in between.
    if (one_in(2))
        program.count = at;
    n = open_gap(at, n);
    if (n)
        memcpy(program.list + at, other.list + from, n * sizeof *program.list);
    if (program.header.threads < other.header.threads)
        program.header.threads = other.header.threads;
    for (size_t i = 0; i < other.decision_count; i++)
        if (one_in(2))
            ops_push_decision(&program, other.decisions[i]);
    return store(out, capacity);
}
