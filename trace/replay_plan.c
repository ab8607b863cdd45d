// replay_plan.c: makes the plan of a replay.
//
// In one thread the places are the slots of the trace. With real threads a slot that is reused at
// once would tie threads together that have nothing to do with each other, so places are taken
// from a queue of each allocating thread, the longest unused first.
//
//   trace   t0: malloc s0   t1: free s0   t1: malloc s0       place of the last one: another, so
//   plan    place 0 turn 0  0, turn 1     place 1 turn 0      that it waits for nobody
//
// Invariant: the steps of a place are numbered 0, 1, 2 ... in the order of the trace.
// Failure: no memory; the descriptor is closed.
#define _GNU_SOURCE
#include "replay_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_MAGIC 0x6e616c706b6168u // "hakplan"
#define PLACES_AHEAD 256             // unused places that a thread keeps before it takes one again

static void fail(struct ops_error *error, const char *what)
{
    *error = (struct ops_error){ 0 };
    snprintf(error->reason, sizeof error->reason, "%s: %s", what, strerrordesc_np(errno));
}

// Places of one thread that wait to be used again: a chain through `link`.
struct queue {
    uint32_t head;
    uint32_t tail;
    uint32_t count;
};

static uint32_t take_place(struct replay_plan *plan, struct queue *queue, const uint32_t *link)
{
    if (queue->count <= PLACES_AHEAD)
        return plan->places_count++;
    uint32_t place = queue->head;
    queue->head = link[place];
    queue->count--;
    return place;
}

static void give_place(struct queue *queue, uint32_t *link, uint32_t place)
{
    if (queue->count++ == 0)
        queue->head = place;
    else
        link[queue->tail] = place;
    queue->tail = place;
}

// Chooses the place of each block and numbers the steps on each place.
static bool plan_places(struct replay_plan *plan, const struct trace *trace)
{
    size_t blocks = trace->blocks.count;
    uint32_t *of_block = calloc(blocks + 1, sizeof *of_block);
    uint32_t *link = calloc(blocks + 1, sizeof *link);
    uint32_t *turns = calloc(blocks + 1, sizeof *turns);
    struct queue *queues = calloc(plan->threads_count + 1, sizeof *queues);
    bool ok = of_block && link && turns && queues;
    for (uint32_t i = 0; ok && i < plan->steps_count; i++) {
        struct replay_step *step = &plan->steps[i];
        uint32_t b = trace->blocks.of_op[i];
        step->op = trace->ops.list[i];
        step->place = NO_BLOCK;
        if (b == NO_BLOCK)
            continue;
        const struct block *block = &trace->blocks.list[b];
        struct queue *queue = &queues[block->thread];
        if (block->born == i)
            of_block[b] = plan->options.real_threads ? take_place(plan, queue, link)
                                                     : step->op.slot;
        step->place = of_block[b];
        step->turn = turns[step->place]++;
        if (block->died == i && plan->options.real_threads)
            give_place(queue, link, step->place);
    }
    if (!plan->options.real_threads)
        plan->places_count = trace->ops.slots;
    free(of_block);
    free(link);
    free(turns);
    free(queues);
    return ok;
}

static void link_threads(struct replay_plan *plan)
{
    uint32_t *first = (uint32_t *)&plan->steps[plan->steps_count];
    for (uint32_t t = 0; t < plan->threads_count; t++)
        first[t] = NEVER;
    for (uint32_t i = plan->steps_count; i-- > 0;) {
        plan->steps[i].next = first[plan->steps[i].op.thread];
        first[plan->steps[i].op.thread] = i;
    }
}

int replay_plan_make(const struct trace *trace, const struct replay_options *options,
                     struct ops_error *error)
{
    size_t bytes = sizeof(struct replay_plan) + trace->ops.count * sizeof(struct replay_step) +
                   trace->ops.header.threads * sizeof(uint32_t);
    int fd = memfd_create("hakmem-trace", 0);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
        fail(error, "cannot make a file in memory");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    struct replay_plan *plan = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    bool ok = plan != MAP_FAILED;
    if (ok) {
        *plan = (struct replay_plan){
            .magic = PLAN_MAGIC,
            .bytes = bytes,
            .options = *options,
            .steps_count = (uint32_t)trace->ops.count,
            .threads_count = trace->ops.header.threads,
        };
        ok = plan_places(plan, trace);
        link_threads(plan);
        munmap(plan, bytes);
    }
    if (!ok) {
        fail(error, "cannot make the plan");
        close(fd);
        return -1;
    }
    return fd;
}

const struct replay_plan *replay_plan_map(int fd, struct ops_error *error)
{
    struct stat status;
    const struct replay_plan *plan = MAP_FAILED;
    errno = EINVAL;
    bool ok = fstat(fd, &status) == 0 && (size_t)status.st_size >= sizeof *plan;
    if (ok)
        plan = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (plan == MAP_FAILED) {
        fail(error, "cannot read the plan");
        return NULL;
    }
    close(fd);
    if (plan->magic == PLAN_MAGIC && plan->bytes == (uint64_t)status.st_size)
        return plan;
    munmap((void *)plan, (size_t)status.st_size);
    *error = (struct ops_error){ .reason = "this is no plan" };
    return NULL;
}

void replay_plan_unmap(const struct replay_plan *plan)
{
    munmap((void *)plan, plan->bytes);
}
