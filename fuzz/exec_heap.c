// exec_heap.c: the life of an exec, and what must hold of the whole heap: audit, statistics, end.
//
// At a quiescent point live + cached + free + remote = capacity, and the allocator's live blocks
// are those of the map. At the end of a program nothing is live.
#include "exec.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void exec_stats(struct exec *exec, const struct op *op)
{
    struct hak_stats stats;
    exec->allocator->get_stats(&stats);
    if (exec->alone && stats.live_bytes < exec->shadow.live_asked_bytes)
        exec_wrong(exec, op, "statistics say %llu live bytes, %llu were asked for",
                   (unsigned long long)stats.live_bytes,
                   (unsigned long long)exec->shadow.live_asked_bytes);
    struct hak_class_stats class;
    for (unsigned i = 0; exec->allocator->get_class_stats(i, &class); i++)
        if (exec->alone && class.live + class.cached > class.capacity)
            exec_wrong(exec, op, "class %u has %llu live and %llu cached blocks of %llu", i,
                       (unsigned long long)class.live, (unsigned long long)class.cached,
                       (unsigned long long)class.capacity);
    exec_count(&exec->counts.done);
}

void exec_audit(struct exec *exec, const struct op *op)
{
    struct hak_audit_report audit = { 0 };
    exec_count(&exec->counts.audits);
    exec->allocator->pause_os(true); // it needs scratch memory
    bool ok = exec->allocator->audit(&audit);
    exec->allocator->pause_os(false);
    if (!ok)
        exec_wrong(exec, op, "audit: %llu errors: %s", (unsigned long long)audit.errors,
                   audit.first_error);
    uint64_t live = audit.live + audit.large + audit.huge;
    if (exec->shadow.map && live != exec->shadow.live)
        exec_wrong(exec, op,
                   "audit: the allocator has %llu live blocks (%llu small, %llu large, %llu huge), "
                   "the map %llu",
                   (unsigned long long)live, (unsigned long long)audit.live,
                   (unsigned long long)audit.large, (unsigned long long)audit.huge,
                   (unsigned long long)exec->shadow.live);
    if (audit.capacity != audit.live + audit.cached + audit.free + audit.remote)
        exec_wrong(exec, op, "audit: %llu blocks are not live, cached, free or remote",
                   (unsigned long long)(audit.capacity - audit.live - audit.cached - audit.free -
                                        audit.remote));
}

bool exec_init(struct exec *exec, const struct allocator *allocator, uint32_t slots)
{
    struct hak_stats stats;
    memset(exec, 0, sizeof *exec);
    // The arena comes with the first block.
    allocator->free(allocator->malloc(1));
    exec->allocator = allocator;
    exec->slot_count = slots ? slots : 1;
    exec->slots = calloc(exec->slot_count, sizeof *exec->slots);
    allocator->get_stats(&stats);
    exec->arena_bytes = stats.reserved_bytes;
    exec->live_bytes_max = stats.reserved_bytes;
    exec->shadow.map = true;
    pthread_mutex_init(&exec->lock, NULL);
    return exec->slots != NULL;
}

void exec_free(struct exec *exec)
{
    pthread_mutex_destroy(&exec->lock);
    free(exec->slots);
    exec->slots = NULL;
}

void exec_reset(struct exec *exec, uint64_t seed)
{
    memset(exec->slots, 0, exec->slot_count * sizeof *exec->slots);
    memset(&exec->counts, 0, sizeof exec->counts);
    shadow_reset(&exec->shadow);
    exec->pattern = seed;
    exec->in_flight_bytes = 0;
}

void exec_finish(struct exec *exec)
{
    exec->allocator->fail_os(0, 0);
    if (exec->shadow.map && !shadow_check_all(&exec->shadow))
        exec_wrong(exec, NULL, "%s", exec->shadow.reason);
    for (uint32_t i = 0; i < exec->slot_count; i++)
        if (atomic_load(&exec->slots[i].state) == SLOT_FULL)
            exec_release(exec, &(struct op){ .kind = OP_FREE, .slot = i });
    exec->allocator->flush();
    exec->allocator->trim(0);
    exec_audit(exec, NULL);
    // The map counts nothing when it is off; the allocator still must have nothing live.
    struct hak_stats stats;
    exec->allocator->get_stats(&stats);
    if (stats.live_bytes != 0)
        exec_wrong(exec, NULL, "%llu bytes are live after everything was freed",
                   (unsigned long long)stats.live_bytes);
    // Units that stay with a class although nothing is live can never serve another.
    if (stats.committed_bytes != 0 && exec->allocator->os_failed() == 0)
        exec_wrong(exec, NULL, "%llu bytes are committed after everything was freed and trimmed",
                   (unsigned long long)stats.committed_bytes);
}
