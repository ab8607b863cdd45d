// process.c: the thread seam, and the state that every execution begins with.
#include "process.h"

#include <string.h>

#include <arena.h>
#include <seam/os.h>
#include <seam/thread.h>

#include "core.h"
#include "pristine.h"
#include "races.h"
#include "stack.h"

struct heap;
extern const struct front hak_no_front;
struct heap *sched_heaps[SCHED_THREADS_MAX];

#define EXIT_ROUNDS_MAX 4 // PTHREAD_DESTRUCTOR_ITERATIONS

static struct {
    void (*on_exit)(void);
    void (*prepare)(void);
    void (*parent)(void);
    void (*child)(void);
    bool armed[SCHED_THREADS_MAX];
    uint32_t generation[SCHED_THREADS_MAX]; // threads that ended in this place
    uint32_t vanished;
    bool late[SCHED_THREADS_MAX]; // its exit hook ran
} hooks;

void process_reset(void)
{
    if (!pristine_restore())
        sched_fail("harness", "no memory for the state of the allocator");
    for (uint32_t t = 0; t < SCHED_THREADS_MAX; t++)
        sched_heaps[t] = (struct heap *)&hak_no_front;
    memset(&hooks, 0, sizeof hooks);
    stack_reset();
}

void hak_thread_start(void (*on_exit)(void), void (*prepare)(void), void (*parent)(void),
                      void (*child)(void))
{
    core.threads[core.current].sets_hooks = true;
    races_write(&hooks.on_exit, sizeof hooks.on_exit); // in the place of the exit key
    hooks.on_exit = on_exit;
    hooks.prepare = prepare;
    hooks.parent = parent;
    hooks.child = child;
}

void hak_thread_watch_exit(void)
{
    core.threads[core.current].sets_hooks = false; // its store is done: no point lies between
    races_read(&hooks.on_exit, sizeof hooks.on_exit);
    hooks.armed[core.current] = true;
}

uint32_t hak_os_process_id(void)
{
    return 1;
}

// Here are no files.
int hak_os_create(const char *path)
{
    (void)path;
    return -1;
}

void hak_os_close(int fd)
{
    (void)fd;
}

// As the clock of the virtual system, which has milliseconds.
uint64_t hak_os_clock_ns(void)
{
    return hak_os_clock_ms() * 1000000;
}

uint64_t hak_os_time_ns(void)
{
    return hak_os_clock_ns();
}

// No page is known to be in memory.
bool hak_os_resident(const void *p, size_t bytes, unsigned char *out)
{
    (void)p, (void)bytes, (void)out;
    return false;
}

uint32_t hak_thread_id(void)
{
    return core.current + 1 + hooks.generation[core.current] * SCHED_THREADS_MAX;
}

void process_end_thread(void)
{
    uint32_t t = core.current;
    hooks.late[t] = true;
    for (int round = 0; round < EXIT_ROUNDS_MAX && hooks.armed[t]; round++) {
        hooks.armed[t] = false;
        hooks.on_exit();
    }
}

void process_begin_thread(void)
{
    uint32_t t = core.current;
    hooks.armed[t] = false;
    hooks.late[t] = false;
    hooks.generation[t]++;
    sched_heaps[t] = (struct heap *)&hak_no_front;
}

void process_exit_thread(void)
{
    process_end_thread();
    process_begin_thread();
}

void process_fork(bool child)
{
    if (hooks.prepare == NULL)
        return; // the allocator was never called
    hooks.prepare();
    if (!child) {
        hooks.parent();
        return;
    }
    races_acquire(&core.races_end); // what each left there when it last lost the processor
    for (uint32_t t = 0; t < core.program->threads; t++)
        if (t != core.current) {
            struct vclock done = memory_publish(t);
            memory_learn(core.current, &done); // the child's memory is a copy: nothing is stale
            core.threads[t].fiber.abandoned |= core.unfinished >> t & 1;
            hooks.vanished += core.unfinished >> t & 1;
            hooks.armed[t] = false;
            sched_heaps[t] = (struct heap *)&hak_no_front;
        }
    core.unfinished = 1u << core.current;
    core.frozen &= core.unfinished;
    hooks.child();
}

size_t process_arena_bytes(void)
{
    return hak_arena.bytes;
}

uint32_t process_vanished(void)
{
    return hooks.vanished;
}

bool process_has_heap(const struct heap *h)
{
    for (uint32_t t = 0; t < SCHED_THREADS_MAX; t++)
        if (sched_heaps[t] == h && !hooks.late[t])
            return true;
    return false;
}
