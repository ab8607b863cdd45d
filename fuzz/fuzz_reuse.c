// fuzz_reuse.c: slabs turn EMPTY and are used again, by another class or owner, while frees of
// their old life are in flight; and blocks are freed once more after that.
//
// Sizes are folded to a few classes with few blocks per slab. That no structure carries a block
// from one life to the next is checked whenever a life begins or ends (lives.h).
//
// A `misuse` frees a stale pointer, what its slot held last, once per execution:
//   alias      a live block begins there: nobody can tell, so it is not freed, only counted (under
//              AddressSanitizer also where one lies among the bytes that it would be)
//   overtaken  some time before the allocator could look, the block there was handed out again, or
//              lay in a magazine, its first free not yet flushed: counted; the heap is the user's
//              fault from then on, and the execution ends, well
//   reported   the allocator faulted
//   waiting    its mark lies in the record of an ended life, whose next life will tell
// Anything else is a failure: silence, or another check that fails before the allocator has said
// what happened. HAK_COUNTS=1 prints the counts.
#include "census.h"
#include "lives.h"
#include "scheduled.h"
#include "target.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char target_name[] = "fuzz_reuse";

#define SLOTS 40u

static void *freed[SLOTS]; // what each slot held last
static struct {
    void *p;        // freed once more than it was handed out; NULL: none yet
    bool returned;  // both calls that free it have returned
    bool overtaken; // see above
} stale;
static unsigned long aliases, overtaken, reported, waiting;

static void adapt(struct op *op)
{
    static const size_t sizes[] = { 640, 1024, 1024, 2048, 4096, 5120, 12288, 20480 };
    unsigned fields = ops_fields(op->kind);
    if (op->kind == OP_CALLOC || op->kind == OP_REALLOCARRAY)
        op->arg = 1;
    if ((fields & OPS_SIZE) && (fields & (OPS_DST | OPS_SLOT)) && op->kind != OP_TOUCH &&
        op->kind != OP_MISUSE)
        op->size = sizes[op->size % 8];
    if (op->kind == OP_CORRUPT || op->kind == OP_STATS)
        op->kind = OP_FLUSH;
    if (op->kind == OP_USABLE_SIZE && op->slot % 2 == 0)
        op->kind = OP_MISUSE;
}

static void begin(struct exec *exec)
{
    (void)exec;
    memset(&stale, 0, sizeof stale);
    census_allow(NULL);
    memset(freed, 0, sizeof freed);
}

// Whether a live block begins there. Under AddressSanitizer one that has some of those bytes counts
// too: a free marks what it is told as inaccessible before anyone can look.
static bool is_live(const struct exec *exec, const void *p)
{
    size_t bytes = TARGET_EXACT_BOUNDS ? census_freed_bytes(p) : 1;
    const struct shadow_block *b = shadow_find(&exec->shadow, p, bytes);
    return b != NULL && (b->start == p || TARGET_EXACT_BOUNDS);
}

// Also while the call that freed it once more is on its way, and its mark may lie there.
static bool is_overtaken(const struct exec *exec)
{
    if (!is_live(exec, stale.p) && !census_is_out(stale.p, stale.returned))
        return false;
    stale.overtaken = true;
    overtaken++;
    return true;
}

// Ends the execution, well: whatever came now, the mistake would be the user's.
static _Noreturn void end_overtaken(void)
{
    sched_fail("overtaken", "%p was handed out again before its second free was found", stale.p);
}

static void observe(struct exec *exec)
{
    if (stale.p != NULL && is_overtaken(exec))
        end_overtaken();
}

static void free_stale(struct exec *exec, void *p)
{
    stale.p = p;
    census_allow(p);
    sched_quiet_begin();
    bool now = is_overtaken(exec);
    sched_quiet_end();
    if (now)
        end_overtaken();
    exec->allocator->free(p);
    exec->allocator->flush();
    stale.returned = true;
}

static bool has_stale(const struct exec *exec, uint32_t i)
{
    // What lies outside of the arena is not ours any more: foreign, which is never fatal.
    return atomic_load(&exec->slots[i].state) == SLOT_EMPTY && freed[i] != NULL &&
           census_knows(freed[i]);
}

static bool operation(struct exec *exec, const struct op *op)
{
    uint32_t i = op->slot % SLOTS, left = SLOTS;
    if (op->kind != OP_MISUSE) {
        if ((ops_fields(op->kind) & OPS_SLOT) && atomic_load(&exec->slots[i].state) == SLOT_FULL)
            freed[i] = exec->slots[i].block.start;
        return false;
    }
    while (!has_stale(exec, i) && --left != 0)
        i = (i + 1) % SLOTS;
    if (stale.p != NULL || left == 0)
        return true;
    if (is_live(exec, freed[i]))
        aliases++;
    else
        free_stale(exec, freed[i]);
    return true;
}

// All that is in flight comes home: whoever finds the block where it must not be says so.
static void last(struct exec *exec)
{
    if (stale.p == NULL || stale.overtaken)
        return;
    exec->allocator->fail_os(0, 0);
    exec->allocator->flush();
    exec->allocator->trim(0);
    sched_quiet_begin();
    bool marked = census_has_marks(stale.p);
    sched_quiet_end();
    if (!marked && !stale.overtaken)
        sched_fail("silence", "stale free of %p was not reported", stale.p);
    waiting += marked;
}

static bool expected(const struct sched_report *report)
{
    if (stale.p == NULL)
        return false;
    bool fault = strcmp(report->kind, "fault") == 0;
    reported += fault && !stale.overtaken;
    return fault || stale.overtaken;
}

static bool finish_tainted(struct exec *exec)
{
    (void)exec;
    return stale.p != NULL;
}

__attribute__((destructor)) static void print_counts(void)
{
    if (getenv("HAK_COUNTS") != NULL)
        fprintf(stderr,
                "stale frees: %lu reported, %lu wait for the next life, %lu were overtaken, "
                "%lu were of live blocks\n",
                reported, waiting, overtaken, aliases);
}

const struct scheduled_target scheduled_target = {
    .limits = { .ops_max = 160,
                .slots = SLOTS,
                .threads = 4,
                .size_max = GEOMETRY_SMALL ? 72u << 10 : 3u << 20,
                .fail_min = (uint64_t)1 << 47 },
    .steps_max = 20000,
    .space_bytes = GEOMETRY_SMALL ? (size_t)8 << 20 : (size_t)256 << 20,
    .live_bytes_max = GEOMETRY_SMALL ? 1u << 20 : 16u << 20,
    .options = "purge_delay_ms=2",
    .adapt = adapt,
    .begin = begin,
    .operation = operation,
    .observe = observe,
    .last = last,
    .expected = expected,
    .finish = finish_tainted,
};
