// exec.c: operations, and what must hold after each: ISO C, POSIX and hakmem.h.
//
// An allocation goes through three steps: claim the slot, call, `receive` (which checks errno, NULL
// and hands the block to the shadow map). NULL must come when the request exceeds PTRDIFF_MAX,
// overflows or has a bad alignment; it may come when a call to the system was made to fail during
// the call, or when the request or what is live is large against the arena; else it is a failure.
//
// A block leaves the map before the allocator gets it and enters it after the allocator returned
// it, so that with several threads no block is in the map twice by right.
#include "exec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A value that no function of the allocator sets.
#define ERRNO_MARK EXDEV
#define ALIGN_MIN ((size_t)16)

// A call under way: what it asks for and what was so before.
struct call {
    struct exec *exec;
    const struct op *op;
    struct exec_slot *slot;
    size_t asked;
    size_t align;
    uint64_t os_failed;
    bool zeroed;
    bool overflow;  // the request's product overflows
    bool bad_align; // EINVAL is due
};

_Noreturn void exec_wrong(struct exec *exec, const struct op *op, const char *format, ...)
{
    char reason[4400];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    exec->fail(exec, op, reason);
    abort();
}

static void lock(struct exec *exec)
{
    if (exec->threaded && exec->shadow.map)
        pthread_mutex_lock(&exec->lock);
}

static void unlock(struct exec *exec)
{
    if (exec->threaded && exec->shadow.map)
        pthread_mutex_unlock(&exec->lock);
}

// Ends a call of the shadow map, made under the lock.
static void judge(struct exec *exec, const struct op *op, bool ok)
{
    char reason[sizeof exec->shadow.reason] = "";
    if (!ok)
        memcpy(reason, exec->shadow.reason, sizeof reason);
    unlock(exec);
    if (!ok)
        exec_wrong(exec, op, "%s", reason);
}

struct exec_slot *exec_claim(struct exec *exec, const struct op *op, unsigned state)
{
    struct exec_slot *slot = &exec->slots[op->slot % exec->slot_count];
    unsigned expected = state;
    if (atomic_compare_exchange_strong_explicit(&slot->state, &expected, SLOT_BUSY,
                                                memory_order_acquire, memory_order_relaxed))
        return slot;
    exec_count(&exec->counts.skipped);
    return NULL;
}

void exec_settle(struct exec_slot *slot, unsigned state)
{
    atomic_store_explicit(&slot->state, state, memory_order_release);
}

// ---- allocation ----

static bool is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool must_fail(const struct call *call)
{
    return call->overflow || call->bad_align || call->asked > PTRDIFF_MAX;
}

// A system that failed while the arena was set up may have left a smaller one.
static uint64_t arena_bytes(const struct exec *exec)
{
    struct hak_stats stats;
    int saved = errno;
    if (!exec->alone || exec->allocator->os_failed() == 0)
        return exec->arena_bytes;
    exec->allocator->get_stats(&stats);
    errno = saved;
    return stats.reserved_bytes < exec->arena_bytes ? stats.reserved_bytes : exec->arena_bytes;
}

bool exec_may_fail(const struct exec *exec, size_t bytes)
{
    uint64_t arena = arena_bytes(exec);
    uint64_t held = exec->shadow.live_usable_bytes + atomic_load(&exec->in_flight_bytes);
    return bytes > arena / 8 || held + exec->slack_bytes + bytes > arena / 4;
}

static bool may_fail(const struct call *call)
{
    const struct exec *exec = call->exec;
    size_t wanted;
    if (exec->allocator->os_failed() != call->os_failed)
        return true;
    if (__builtin_add_overflow(call->asked, call->align, &wanted))
        return true;
    return exec_may_fail(exec, wanted);
}

static void check_null(const struct call *call, int error)
{
    struct exec *exec = call->exec;
    const struct op *op = call->op;
    if (!must_fail(call) && !may_fail(call))
        exec_wrong(exec, op, "NULL for %zu bytes aligned to %zu, with %llu live bytes", call->asked,
                   call->align, (unsigned long long)exec->shadow.live_usable_bytes);
    if (op->kind == OP_POSIX_MEMALIGN) {
        if (errno != ERRNO_MARK)
            exec_wrong(exec, op, "posix_memalign set errno to %d", errno);
    } else
        error = errno;
    // An alignment that nothing can meet may be called either; a product is a matter of memory.
    bool either = call->align > PTRDIFF_MAX;
    int due = call->bad_align ? EINVAL : ENOMEM;
    if (error != due && !(either && (error == EINVAL || error == ENOMEM)))
        exec_wrong(exec, op, "failed with error %d instead of %d", error, due);
    exec_count(&exec->counts.refused);
}

static struct shadow_request request_of(const struct call *call)
{
    uint64_t pattern = atomic_fetch_add_explicit(&call->exec->pattern, 1, memory_order_relaxed);
    return (struct shadow_request){ .asked = call->asked,
                                    .align = call->align < ALIGN_MIN ? ALIGN_MIN : call->align,
                                    .zeroed = call->zeroed,
                                    .pattern = pattern * 0x9e3779b97f4a7c15u,
                                    .thread = call->op->thread };
}

// Usable bytes of a block that the allocator just returned.
static size_t usable_of(const struct call *call, void *p)
{
    size_t usable = call->exec->allocator->usable_size(p);
    if (!call->exec->allocator->covers(p, usable))
        exec_wrong(call->exec, call->op,
                   "block %p of %zu bytes is not in the arena nor in a registered mapping", p,
                   usable);
    return usable;
}

// The result of an allocation into an empty slot. `error`: of posix_memalign.
static void receive(const struct call *call, void *p, int error)
{
    struct exec *exec = call->exec;
    if (!p) {
        check_null(call, error);
        exec_settle(call->slot, SLOT_EMPTY);
        return;
    }
    if (must_fail(call))
        exec_wrong(exec, call->op, "gave block %p where it must fail", p);
    size_t usable = usable_of(call, p);
    struct shadow_request request = request_of(call);
    lock(exec);
    judge(exec, call->op, shadow_take(&exec->shadow, &call->slot->block, p, usable, &request));
    exec_count(&exec->counts.done);
    exec_settle(call->slot, SLOT_FULL);
}

static bool affordable(struct exec *exec, size_t bytes)
{
    // Requests that nobody can serve cost nothing.
    if (bytes > PTRDIFF_MAX || bytes <= exec->live_bytes_max - exec->live_bytes_max / 2)
        bytes = 0;
    if (exec->shadow.live_usable_bytes + bytes <= exec->live_bytes_max)
        return true;
    exec_count(&exec->counts.skipped);
    return false;
}

static void product(struct call *call, size_t n, size_t size)
{
    call->overflow = __builtin_mul_overflow(n, size, &call->asked);
    if (call->overflow)
        call->asked = SIZE_MAX;
}

static size_t next_power_of_two(size_t n)
{
    size_t p = 1;
    while (p < n && p <= SIZE_MAX / 2)
        p *= 2;
    return p;
}

// What the request of each kind is.
static void describe(struct call *call)
{
    const struct op *op = call->op;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    call->asked = op->size;
    call->align = ALIGN_MIN;
    switch (op->kind) {
    case OP_CALLOC:
        call->zeroed = true;
        product(call, op->arg, op->size);
        return;
    case OP_REALLOCARRAY:
        product(call, op->arg, op->size);
        return;
    case OP_ALIGNED_ALLOC:
    case OP_NEW_ALIGNED:
    case OP_POSIX_MEMALIGN:
        call->align = op->arg;
        call->bad_align = !is_power_of_two(op->arg) ||
                          (op->kind == OP_POSIX_MEMALIGN && op->arg % sizeof(void *) != 0);
        return;
    case OP_MEMALIGN:
        call->align = next_power_of_two(op->arg);
        return;
    case OP_VALLOC:
        call->align = page;
        return;
    case OP_PVALLOC:
        call->align = page;
        if (op->size <= PTRDIFF_MAX)
            call->asked = (op->size + page - 1) / page * page;
        return;
    default:
        return;
    }
}

static void allocate(struct exec *exec, const struct op *op)
{
    const struct allocator *a = exec->allocator;
    struct call call = { .exec = exec, .op = op, .os_failed = a->os_failed() };
    void *p = NULL;
    int error = 0;
    describe(&call);
    if (!affordable(exec, call.asked) || !(call.slot = exec_claim(exec, op, SLOT_EMPTY)))
        return;
    call.slot->aligned = ops_fields(op->kind) & OPS_ARG && op->kind != OP_CALLOC;
    call.slot->asked = call.asked;
    atomic_fetch_add(&exec->in_flight_bytes, call.asked);
    errno = ERRNO_MARK;
    switch (op->kind) {
    case OP_CALLOC:
        p = a->calloc(op->arg, op->size);
        break;
    case OP_ALIGNED_ALLOC:
    case OP_NEW_ALIGNED:
        p = a->aligned_alloc(op->arg, op->size);
        break;
    case OP_MEMALIGN:
        p = a->memalign(op->arg, op->size);
        break;
    case OP_POSIX_MEMALIGN:
        error = a->posix_memalign(&p, op->arg, op->size);
        if (error ? p != NULL : p == NULL)
            exec_wrong(exec, op, "returned %d and wrote %p", error, p);
        break;
    case OP_VALLOC:
        p = a->valloc(op->size);
        break;
    case OP_PVALLOC:
        p = a->pvalloc(op->size);
        break;
    default: // the builds with prefixed names have no C++ operators: `new` is malloc there
        p = a->malloc(op->size);
        break;
    }
    atomic_fetch_sub(&exec->in_flight_bytes, call.asked);
    receive(&call, p, error);
}

// ---- resizing, freeing ----

static void give(struct exec *exec, const struct op *op, struct exec_slot *slot)
{
    lock(exec);
    judge(exec, op, shadow_give(&exec->shadow, &slot->block));
}

static void *call_realloc(const struct call *call, void *p)
{
    const struct allocator *a = call->exec->allocator;
    const struct op *op = call->op;
    atomic_fetch_add(&call->exec->in_flight_bytes, call->asked);
    errno = ERRNO_MARK;
    p = op->kind == OP_REALLOCARRAY ? a->reallocarray(p, op->arg, op->size)
                                    : a->realloc(p, op->size);
    atomic_fetch_sub(&call->exec->in_flight_bytes, call->asked);
    return p;
}

static void resize(struct exec *exec, const struct op *op)
{
    struct call call = { .exec = exec, .op = op, .os_failed = exec->allocator->os_failed() };
    describe(&call);
    if (!affordable(exec, call.asked))
        return;
    struct exec_slot *slot = &exec->slots[op->slot % exec->slot_count];
    bool empty = atomic_load_explicit(&slot->state, memory_order_relaxed) == SLOT_EMPTY;
    if (!(call.slot = exec_claim(exec, op, empty ? SLOT_EMPTY : SLOT_FULL)))
        return;
    if (empty) {
        slot->aligned = false;
        slot->asked = call.asked;
        receive(&call, call_realloc(&call, NULL), 0);
        return;
    }
    struct shadow_block *block = &slot->block;
    void *before = block->start;
    give(exec, op, slot);
    void *p = call_realloc(&call, before);
    if (p) {
        if (must_fail(&call) || call.asked == 0)
            exec_wrong(exec, op, "resized block %p to %p where it must not", before, p);
        size_t usable = usable_of(&call, p);
        struct shadow_request request = request_of(&call);
        lock(exec);
        judge(exec, op, shadow_moved(&exec->shadow, block, p, usable, &request));
        slot->aligned = false;
        slot->asked = call.asked;
    } else if (call.asked == 0) {
        exec_count(&exec->counts.done);
        exec_settle(slot, SLOT_EMPTY);
        return;
    } else {
        check_null(&call, 0);
        lock(exec);
        judge(exec, op, shadow_kept(&exec->shadow, block));
    }
    exec_count(&exec->counts.done);
    exec_settle(slot, SLOT_FULL);
}

void exec_release(struct exec *exec, const struct op *op)
{
    const struct allocator *a = exec->allocator;
    struct exec_slot *slot = exec_claim(exec, op, SLOT_FULL);
    if (!slot)
        return;
    void *p = slot->block.start;
    give(exec, op, slot);
    errno = ERRNO_MARK;
    // C23 allows the sized forms for blocks of the functions that they belong to; others are freed.
    bool sized = op->kind == OP_FREE_SIZED || op->kind == OP_DELETE_SIZED;
    bool sized_aligned = op->kind == OP_FREE_ALIGNED_SIZED || op->kind == OP_DELETE_ALIGNED;
    if (sized && !slot->aligned)
        a->free_sized(p, slot->asked);
    else if (sized_aligned && slot->aligned)
        a->free_aligned_sized(p, slot->block.align, slot->asked);
    else
        a->free(p);
    if (errno != ERRNO_MARK)
        exec_wrong(exec, op, "free changed errno to %d", errno);
    exec_count(&exec->counts.done);
    exec_settle(slot, SLOT_EMPTY);
}

// ---- looking ----

static void look(struct exec *exec, const struct op *op)
{
    struct exec_slot *slot = exec_claim(exec, op, SLOT_FULL);
    if (!slot)
        return;
    if (op->kind == OP_USABLE_SIZE) {
        size_t usable = exec->allocator->usable_size(slot->block.start);
        if (usable != slot->block.usable)
            exec_wrong(exec, op, "usable size of block %p became %zu, was %zu",
                       (void *)slot->block.start, usable, slot->block.usable);
    } else {
        lock(exec);
        bool ok = shadow_check(&exec->shadow, &slot->block);
        if (ok)
            shadow_fill(&exec->shadow, &slot->block, op->size);
        judge(exec, op, ok);
    }
    exec_count(&exec->counts.done);
    exec_settle(slot, SLOT_FULL);
}

// ---- all of it ----

static void act(struct exec *exec, const struct op *op)
{
    const struct allocator *a = exec->allocator;
    switch (op->kind) {
    case OP_TRIM:
        a->trim(op->size);
        break;
    case OP_FLUSH:
    case OP_EXIT:
        a->flush();
        break;
    case OP_TICK:
        a->tick(op->size);
        break;
    case OP_FAIL_OS:
        a->fail_os(op->arg, op->size);
        break;
    case OP_STATS:
        exec_stats(exec, op);
        return;
    case OP_AUDIT:
        if (exec->alone)
            exec_audit(exec, op);
        break;
    case OP_FORK:
        exec_fork(exec, op);
        return;
    case OP_MISUSE:
        exec_misuse(exec, op);
        return;
    default: // start, barrier, freeze, corrupt: the harness's own
        exec_count(&exec->counts.skipped);
        return;
    }
    exec_count(&exec->counts.done);
}

void exec_op(struct exec *exec, const struct op *op)
{
    unsigned fields = ops_fields(op->kind);
    if (fields & OPS_DST)
        allocate(exec, op);
    else if (op->kind == OP_REALLOC || op->kind == OP_REALLOCARRAY)
        resize(exec, op);
    else if (op->kind == OP_USABLE_SIZE || op->kind == OP_TOUCH)
        look(exec, op);
    else if (fields == OPS_SLOT)
        exec_release(exec, op);
    else
        act(exec, op);
}
