// block.c: tagged blocks, and the message when one does not hold what was written.
//
//   n < 16     the tag's bytes, over and over
//   n >= 16    [tag] [pattern, of a sample of blocks ...] [~tag]
//
// tag = 0xb10c | full? | worker's id (12 bits) | dense? | serial of the block (34 bits). A word
// found in a wrong place is so decoded to "a block that worker 3 took as its 1234th". The full
// pattern has each word up to 64 KiB; beyond, each word of one full block in eight and one word
// for each 4 KiB of the others, so that large blocks stay affordable.
//
// Tags are written by plain stores after malloc and read by plain loads before free: a race
// detector then reports each pair of owners that the allocator does not order.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TAG_MAGIC ((uint64_t)0xb10c)
#define TAG_FULL ((uint64_t)1 << 47)
#define TAG_DENSE ((uint64_t)1 << 34) // with TAG_FULL: each word, however many
#define TAG_ID_SHIFT 35
#define TAG_SERIAL_MASK (TAG_DENSE - 1)
#define FULL_DENSE_BYTES (64 * KIB)
#define FULL_SPARSE_STEP (4 * KIB)
#define FULL_DENSE_EVERY 8u
#define WORD sizeof(uint64_t)
#define PURGE_DELAY_NS 100000000u // the option purge_delay_ms
#define CHANCE_BYTES (512 * KIB)  // a size that no magazine serves
#define CHANCE_REST_NS 3000000
_Static_assert(LOAD_WORKERS_MAX <= 1u << 12, "a worker's id fits in the tag");

static uint64_t get_word(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static void put_word(unsigned char *p, uint64_t x)
{
    memcpy(p, &x, sizeof x);
}

static unsigned char tag_byte(uint64_t tag, size_t i)
{
    return (unsigned char)(tag >> (i % WORD * 8));
}

static uint64_t pattern_word(uint64_t tag, size_t offset)
{
    return tag ^ ((uint64_t)offset * 0x9e3779b97f4a7c15u);
}

static size_t pattern_next(uint64_t tag, size_t offset)
{
    bool dense = offset < FULL_DENSE_BYTES || (tag & TAG_DENSE) != 0;

    return offset + (dense ? WORD : FULL_SPARSE_STEP);
}

// What a word means, if it is a tag or the complement of one.
static const char *explain(uint64_t word, char *out, size_t size)
{
    bool first = word >> 48 == TAG_MAGIC;
    bool last = ~word >> 48 == TAG_MAGIC;
    uint64_t tag = first ? word : ~word;

    if (!first && !last) {
        snprintf(out, size, "no tag");
    } else {
        snprintf(out, size, "the %s word of block %llu taken by worker %llu",
                 first ? "first" : "last", (unsigned long long)(tag & TAG_SERIAL_MASK),
                 (unsigned long long)(tag >> TAG_ID_SHIFT & (LOAD_WORKERS_MAX - 1)));
    }
    return out;
}

static _Noreturn void report(const struct worker *w, const struct block *b, const char *when,
                             size_t offset, uint64_t expected, uint64_t found)
{
    char want[96];
    char have[96];

    load_fail(w, "%s: block %p of %zu bytes, offset %zu: expected %016llx (%s), found %016llx (%s)",
              when, (void *)b->p, b->n, offset, (unsigned long long)expected,
              explain(b->tag, want, sizeof want), (unsigned long long)found,
              explain(found, have, sizeof have));
}

static void paint(const struct block *b)
{
    if (b->n < 2 * WORD) {
        for (size_t i = 0; i < b->n; i++)
            b->p[i] = tag_byte(b->tag, i);
        return;
    }
    if (b->tag & TAG_FULL) {
        for (size_t at = WORD; at + 2 * WORD <= b->n; at = pattern_next(b->tag, at))
            put_word(b->p + at, pattern_word(b->tag, at));
    }
    put_word(b->p, b->tag);
    put_word(b->p + b->n - WORD, ~b->tag);
}

// Checks what the first `kept` bytes of the painted block b hold; they now lie at `p`.
static void check_prefix(const struct worker *w, const struct block *b, const unsigned char *p,
                         size_t kept, const char *when)
{
    if (b->n < 2 * WORD) {
        for (size_t i = 0; i < kept; i++) {
            if (p[i] != tag_byte(b->tag, i))
                report(w, b, when, i, tag_byte(b->tag, i), p[i]);
        }
        return;
    }
    if (kept >= WORD && get_word(p) != b->tag)
        report(w, b, when, 0, b->tag, get_word(p));
    if (b->tag & TAG_FULL) {
        for (size_t at = WORD; at + 2 * WORD <= b->n && at + WORD <= kept;
             at = pattern_next(b->tag, at)) {
            if (get_word(p + at) != pattern_word(b->tag, at))
                report(w, b, when, at, pattern_word(b->tag, at), get_word(p + at));
        }
    }
    if (kept == b->n && get_word(p + kept - WORD) != ~b->tag)
        report(w, b, when, kept - WORD, ~b->tag, get_word(p + kept - WORD));
}

// A block counts as live from before it is asked for until after it is given: the watchdog, which
// looks at any time, never sees memory of a block that it does not know.
static void add_live(struct worker *w, int64_t bytes)
{
    int64_t live = atomic_load_explicit(&w->live_bytes, memory_order_relaxed);

    atomic_store_explicit(&w->live_bytes, live + bytes, memory_order_relaxed);
}

static void begin_call(struct worker *w, const char *call, size_t wanted)
{
    add_live(w, (int64_t)wanted);
    worker_op(w, call);
    errno = 0;
}

// `gone`: bytes that are not live any more.
static void end_call(struct worker *w, size_t gone)
{
    add_live(w, -(int64_t)gone);
    worker_op(w, NULL);
    worker_step(w);
}

static void count(struct worker *w)
{
    uint64_t ops = atomic_load_explicit(&w->ops, memory_order_relaxed);

    atomic_store_explicit(&w->ops, ops + 1, memory_order_relaxed);
}

static void tag_block(struct worker *w, struct block *b)
{
    uint64_t serial = atomic_load_explicit(&w->serial, memory_order_relaxed) + 1;

    atomic_store_explicit(&w->serial, serial, memory_order_relaxed);
    b->tag = TAG_MAGIC << 48 | (uint64_t)w->id << TAG_ID_SHIFT | (serial & TAG_SERIAL_MASK);
    if (serial % w->full_every == 0)
        b->tag |= TAG_FULL | (serial / w->full_every % FULL_DENSE_EVERY == 0 ? TAG_DENSE : 0);
}

// Peers align what is smaller than 16 bytes to 8, as ISO C allows; we promise 16 always.
static void expect_aligned(const struct worker *w, const void *p, size_t n, const char *call)
{
    size_t align = LOAD_PEER && n < 16 ? 8 : 16;

    if ((uintptr_t)p % align != 0)
        load_fail(w, "%s of %zu bytes returned %p, which is not %zu-aligned", call, n, p, align);
}

// Looks at the result of an allocation; errno is what it left.
static bool accept(struct worker *w, struct block *b, void *p, size_t n, const char *call)
{
    int error = errno;

    if (p == NULL) {
        end_call(w, n);
        if (!w->null_allowed || error != ENOMEM)
            load_fail(w, "%s of %zu bytes returned NULL with errno %d (%s)", call, n, error,
                      strerror(error));
        w->nulls++;
        b->p = NULL;
        return false;
    }
    expect_aligned(w, p, n, call);
    *b = (struct block){ p, n, 0 };
    tag_block(w, b);
    paint(b);
    count(w);
    end_call(w, 0);
    return true;
}

void block_adopt(struct worker *w, struct block *b, void *p, size_t n)
{
    add_live(w, (int64_t)n);
    accept(w, b, p, n, "allocation");
}

bool block_take(struct worker *w, struct block *b, size_t n)
{
    begin_call(w, "malloc", n);
    return accept(w, b, hak_malloc(n), n, "malloc");
}

bool block_take_zeroed(struct worker *w, struct block *b, size_t n)
{
    unsigned char *p;

    begin_call(w, "calloc", n);
    p = hak_calloc(1, n);
    if (p != NULL) {
        for (size_t i = 0; i < n; i += i < FULL_DENSE_BYTES ? 1 : 509) {
            if (p[i] != 0)
                load_fail(w, "calloc of %zu bytes: byte %zu of %p is %#x", n, i, (void *)p, p[i]);
        }
        if (n > 0 && p[n - 1] != 0)
            load_fail(w, "calloc of %zu bytes: the last byte of %p is %#x", n, (void *)p, p[n - 1]);
    }
    return accept(w, b, p, n, "calloc");
}

bool block_take_aligned(struct worker *w, struct block *b, size_t align, size_t n)
{
    void *p;

    begin_call(w, "aligned_alloc", n);
    p = hak_aligned_alloc(align, n);
    if ((uintptr_t)p % align != 0)
        load_fail(w, "aligned_alloc(%zu, %zu) returned %p", align, n, p);
    return accept(w, b, p, n, "aligned_alloc");
}

bool block_resize(struct worker *w, struct block *b, size_t n)
{
    struct block old = *b;
    unsigned char *p;
    int error;

    block_check(w, b, "before realloc");
    begin_call(w, "realloc", n);
    p = hak_realloc(b->p, n);
    error = errno;
    if (p == NULL) {
        end_call(w, n);
        if (!w->null_allowed || error != ENOMEM)
            load_fail(w, "realloc of %p from %zu to %zu bytes returned NULL with errno %d (%s)",
                      (void *)old.p, old.n, n, error, strerror(error));
        block_check(w, b, "after a realloc that failed");
        w->nulls++;
        return false;
    }
    expect_aligned(w, p, n, "realloc");
    check_prefix(w, &old, p, n < old.n ? n : old.n, "after realloc");
    b->p = p;
    b->n = n;
    tag_block(w, b);
    paint(b);
    count(w);
    end_call(w, old.n);
    return true;
}

void block_check(struct worker *w, const struct block *b, const char *when)
{
    check_prefix(w, b, b->p, b->n, when);
}

void block_give(struct worker *w, struct block *b)
{
    block_check(w, b, "before free");
    worker_op(w, "free");
    hak_free(b->p);
    b->p = NULL;
    count(w);
    end_call(w, b->n);
}

void load_chance(struct worker *w, struct chances *c)
{
    struct block b;

    if (load_now_ns() - c->last_ns > PURGE_DELAY_NS) {
        c->last_ns = load_now_ns();
        c->n++;
    }
    block_take(w, &b, CHANCE_BYTES);
    block_give(w, &b);
    nanosleep(&(struct timespec){ 0, CHANCE_REST_NS }, NULL);
}

size_t block_common_size(struct rng *r)
{
    uint64_t kind = rng_below(r, 1000);

    if (kind < 600)
        return rng_between(r, 1, 128);
    if (kind < 900)
        return rng_log_between(r, 128, 2 * KIB);
    if (kind < 990)
        return rng_log_between(r, 2 * KIB, 64 * KIB);
    return rng_log_between(r, 64 * KIB, 2 * MIB);
}
