// reports.c: the asan-user flavour's memory of blocks.
//
//   shadow   one byte per 8 bytes of memory, as AddressSanitizer defines it. Written here with its
//            codes for heap memory, so that it reports heap-buffer-overflow and
//            heap-use-after-free instead of use-after-poison:
//              0 accessible | 1..7 the first bytes are | 0xfa beyond a block | 0xfd freed
//   table    SETS_MAX sets of WAYS_MAX records, a block's set is a hash of its address:
//              [ base | n | block_bytes | live | stack of allocation | stack of free ]
//            A full set forgets the block that was freed first, else the one allocated first.
//
// AddressSanitizer prints its report, then calls us before the process dies: we add the block that
// the address belongs to, with its stacks. They are walked by frame pointers, as compilers leave
// them with -fno-omit-frame-pointer, at most FRAMES_MAX, within the thread's stack.
//
// Who frees a block writes its record, and who allocated it did before: only blocks of the same
// set contend for the set's lock. It is tried LOCK_TRIES times and then given up, because the
// thread that held it may be missing in a child of fork.
//
// Invariant: a block that is handed out has a record, unless its set is marked `forgot`. So a
// pointer without a record in a set without that mark is no block.
//
// The flavour is compiled without instrumentation: the shadow has no shadow. Until the program's
// constructors run there may be no shadow yet, so blocks from before are not painted.

#include "reports.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sanitizer/asan_interface.h>

enum {
    SETS_MAX = 8192, // a power of two
    WAYS_MAX = 8,
    FRAMES_MAX = 16, // some four of them are the allocator's
    LOCK_TRIES = 1000,
    GRANULE = 8,
    CODE_BEYOND = 0xfa,
    CODE_FREED = 0xfd,
    LINE_MAX = 1024,
    DELAYED_MAX = 65536,
};

// How long a freed block is kept from the allocator: until this much was freed after it.
#define DELAYED_BYTES_MAX ((size_t)64 << 20)
#define DELAYED_BLOCK_MAX (DELAYED_BYTES_MAX / 4) // a larger one goes at once

// A block whose address is no further than this from a wrong access is named in its report.
#define NEAR_BYTES 64
#define MAIN_STACK_MAX ((uintptr_t)64 << 20)
#define THREAD_STACK_MAX ((uintptr_t)1 << 30)
#define FRAME_BYTES_MAX ((uintptr_t)1 << 20)

struct stack {
    pthread_t thread;
    uint32_t frames;
    uintptr_t pc[FRAMES_MAX];
};

struct record {
    uintptr_t base; // 0: none
    size_t n;
    size_t block_bytes;
    uint64_t stamp; // of the last change, in the order of the set
    bool live;
    struct stack allocated;
    struct stack freed;
};

struct set {
    pthread_mutex_t lock; // zero is unlocked
    uint64_t stamp;
    bool forgot; // a block that is handed out may be missing
    struct record ways[WAYS_MAX];
};

static struct set table[SETS_MAX];
bool hak_reports_ready; // there is shadow memory
static size_t shadow_scale, shadow_offset;
static __thread bool leaving; // the thread frees what waited: it was checked when it came

// ---- shadow ----

static uint8_t *shadow_of(uintptr_t address)
{
    return (uint8_t *)((address >> shadow_scale) + shadow_offset);
}

// Both ends are multiples of GRANULE.
static void paint(uintptr_t begin, uintptr_t end, uint8_t code)
{
    if (!hak_reports_ready)
        return;
    uint8_t *to = shadow_of(end);
    for (uint8_t *s = shadow_of(begin); s < to; s++) {
        *s = code;
        __asm__("" : : : "memory"); // no call of memset, which AddressSanitizer would check
    }
}

void hak_reports_open(void *p, size_t bytes)
{
    if (hak_reports_ready)
        __asan_unpoison_memory_region(p, bytes);
}

static void paint_block(uintptr_t base, size_t n, size_t block_bytes)
{
    paint(round_down(base + n, GRANULE), base + block_bytes, CODE_BEYOND);
    hak_reports_open((void *)base, n);
}

// ---- stacks ----

extern void *__libc_stack_end;

// The end of the stack that holds `frame`; `frame` itself if it is on none that is known.
static uintptr_t stack_end(uintptr_t frame)
{
    uintptr_t main_end = (uintptr_t)__libc_stack_end;
    uintptr_t thread_end = (uintptr_t)pthread_self();
    if (frame < main_end && main_end - frame < MAIN_STACK_MAX)
        return main_end;
    if (frame < thread_end && thread_end - frame < THREAD_STACK_MAX)
        return thread_end;
    return frame;
}

// The callers of the function that calls this.
static inline __attribute__((always_inline)) void walk(struct stack *s)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = stack_end(frame);
    s->thread = pthread_self();
    s->frames = 0;
    while (s->frames < FRAMES_MAX && frame + 2 * sizeof(uintptr_t) <= end) {
        const uintptr_t *pair = (const uintptr_t *)frame; // the caller's frame, the return address
        if (pair[1] == 0)
            break;
        s->pc[s->frames++] = pair[1];
        if (pair[0] <= frame || pair[0] - frame > FRAME_BYTES_MAX || pair[0] % sizeof *pair != 0)
            break;
        frame = pair[0];
    }
}

// ---- table ----

static struct set *set_of(uintptr_t base)
{
    return &table[(base >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 51];
}
_Static_assert(SETS_MAX == 1 << (64 - 51), "the hash is an index of the table");

static bool lock(struct set *s)
{
    for (unsigned i = 0; i < LOCK_TRIES; i++)
        if (pthread_mutex_trylock(&s->lock) == 0)
            return true;
    s->forgot = true;
    return false;
}

static struct record *find(struct set *s, uintptr_t base)
{
    for (unsigned i = 0; i < WAYS_MAX; i++)
        if (s->ways[i].base == base)
            return &s->ways[i];
    return NULL;
}

static bool is_better_victim(const struct record *a, const struct record *b)
{
    return a->live != b->live ? b->live : a->stamp < b->stamp; // unused: not live, stamp 0
}

static struct record *find_or_add(struct set *s, uintptr_t base)
{
    struct record *r = find(s, base);
    if (r != NULL)
        return r;
    r = &s->ways[0];
    for (unsigned i = 1; i < WAYS_MAX; i++)
        if (is_better_victim(&s->ways[i], r))
            r = &s->ways[i];
    s->forgot = s->forgot || r->live;
    *r = (struct record){ .base = base };
    return r;
}

// ---- printing ----

static void say(const char *text)
{
    for (size_t n = strlen(text); n != 0;) {
        ssize_t done = write(STDERR_FILENO, text, n);
        if (done <= 0)
            return;
        text += done;
        n -= (size_t)done;
    }
}

static void say_stack(const char *what, const struct stack *s)
{
    char line[LINE_MAX], where[LINE_MAX - 32];
    snprintf(line, sizeof line, "%s by %sthread %#lx here:\n", what,
             s->thread == pthread_self() ? "this " : "", (unsigned long)s->thread);
    say(line);
    for (uint32_t i = 0; i < s->frames; i++) {
        // A return address may lie behind the end of its function.
        __sanitizer_symbolize_pc((void *)(s->pc[i] - 1), "%p in %f %L", where, sizeof where);
        snprintf(line, sizeof line, "    #%u %s\n", i, where);
        say(line);
    }
}

static void say_record(uintptr_t address, const struct record *r)
{
    char line[LINE_MAX];
    const char *relation = "inside of";
    size_t distance = address - r->base;
    if (address < r->base) {
        relation = "before";
        distance = r->base - address;
    } else if (distance >= r->n) {
        relation = "after";
        distance -= r->n;
    }
    snprintf(line, sizeof line, "hakmem: %#lx is %zu bytes %s the %sblock of %zu bytes at %#lx\n",
             (unsigned long)address, distance, relation, r->live ? "" : "freed ", r->n,
             (unsigned long)r->base);
    say(line);
    if (!r->live)
        say_stack("freed", &r->freed);
    say_stack("allocated", &r->allocated);
}

static bool holds(const struct record *r, uintptr_t address)
{
    return r->base != 0 && address >= r->base && address - r->base < r->block_bytes;
}

// How far the address is from what the user asked for; 0 inside of it.
static size_t distance_to(const struct record *r, uintptr_t address)
{
    if (address < r->base)
        return r->base - address;
    size_t offset = address - r->base;
    return offset < r->n ? 0 : offset - r->n + 1;
}

// The record nearest to the address, the newest of several. Not locked: the process ends.
static const struct record *nearest(uintptr_t address, bool live)
{
    const struct record *best = NULL;
    for (unsigned i = 0; i < SETS_MAX; i++) {
        for (unsigned w = 0; w < WAYS_MAX; w++) {
            const struct record *r = &table[i].ways[w];
            size_t d = distance_to(r, address);
            if (r->base == 0 || r->live != live || d > NEAR_BYTES)
                continue;
            size_t least = best == NULL ? SIZE_MAX : distance_to(best, address);
            if (d < least || (d == least && r->block_bytes < best->block_bytes))
                best = r;
        }
    }
    return best;
}

// Live memory and freed memory are neighbours: both are named where both may be meant.
static void describe(uintptr_t address)
{
    const struct record *live = nearest(address, true);
    const struct record *freed = nearest(address, false);
    bool was_freed = freed != NULL && holds(freed, address);
    if (was_freed && (live == NULL || !holds(live, address)))
        say_record(address, freed);
    if (live != NULL)
        say_record(address, live);
    if (live == NULL && !was_freed && freed != NULL)
        say_record(address, freed);
    if (live == NULL && freed == NULL)
        say("hakmem: no block near that address is remembered\n");
}

static void before_death(void)
{
    if (__asan_report_present())
        describe((uintptr_t)__asan_get_report_address());
}

__attribute__((constructor)) static void start(void)
{
    __asan_get_shadow_mapping(&shadow_scale, &shadow_offset);
    hak_reports_ready = true;
    __sanitizer_set_death_callback(before_death);
}

_Noreturn static void report(const char *mistake, uintptr_t p, bool block_near,
                             const struct stack *here)
{
    char line[LINE_MAX];
    snprintf(line, sizeof line, "==%d==ERROR: hakmem: %s of %#lx\n", (int)getpid(), mistake,
             (unsigned long)p);
    say(line);
    say_stack("free called", here);
    if (block_near)
        describe(p);
    abort();
}

// ---- events ----

void hak_reports_took(void *p, size_t n, size_t block_bytes)
{
    uintptr_t base = (uintptr_t)p;
    struct set *s = set_of(base);
    if (lock(s)) {
        struct record *r = find_or_add(s, base);
        r->n = n;
        r->block_bytes = block_bytes;
        r->live = true;
        r->stamp = ++s->stamp;
        r->freed.frames = 0;
        walk(&r->allocated);
        pthread_mutex_unlock(&s->lock);
    }
    paint_block(base, n, block_bytes);
}

// False if p is no block that is handed out.
static bool note_free(struct set *s, uintptr_t base, size_t block_bytes, const struct stack *here)
{
    bool forgot = s->forgot;
    if (!lock(s))
        return true;
    struct record *r = find(s, base);
    bool known = r != NULL && r->live;
    if (known || forgot) {
        r = find_or_add(s, base);
        if (!known) {
            r->n = block_bytes;
            r->block_bytes = block_bytes;
            r->allocated.frames = 0;
        }
        r->live = false;
        r->stamp = ++s->stamp;
        r->freed = *here;
    }
    pthread_mutex_unlock(&s->lock);
    return known || forgot;
}

void hak_reports_narrow(void *p, size_t n)
{
    size_t asked, block_bytes;
    if (!hak_reports_find(p, &asked, &block_bytes))
        return; // forgotten at once: its set is contended
    find(set_of((uintptr_t)p), (uintptr_t)p)->n = n;
    paint_block((uintptr_t)p, n, block_bytes);
}

bool hak_reports_find(const void *p, size_t *n, size_t *block_bytes)
{
    struct set *s = set_of((uintptr_t)p);
    if (!lock(s))
        return false;
    const struct record *r = find(s, (uintptr_t)p);
    bool known = r != NULL && r->live;
    if (known) {
        *n = r->n;
        *block_bytes = r->block_bytes;
    }
    pthread_mutex_unlock(&s->lock);
    return known;
}

// A variable of a function or of the program, by name; otherwise just a wrong pointer.
_Noreturn static void report_invalid(uintptr_t p, const struct stack *here)
{
    char name[64] = "", mistake[LINE_MAX];
    void *region;
    size_t bytes;
    const char *kind = __asan_locate_address((void *)p, name, sizeof name, &region, &bytes);
    bool variable = strcmp(kind, "stack") == 0 || strcmp(kind, "global") == 0;
    snprintf(mistake, sizeof mistake, variable ? "invalid free (%s variable %s)" : "invalid free",
             kind, name);
    report(mistake, p, !variable, here);
}

void hak_reports_gave(void *p, size_t block_bytes)
{
    if (leaving)
        return;
    uintptr_t base = (uintptr_t)p;
    struct stack here;
    walk(&here);
    if (hak_reports_ready && *shadow_of(base) == CODE_FREED)
        report("double free", base, true, &here);
    if (!note_free(set_of(base), base, block_bytes, &here))
        report_invalid(base, &here);
    paint(base, base + block_bytes, CODE_FREED);
}

void hak_reports_gone(void *p, size_t bytes)
{
    struct stack here;
    walk(&here);
    if (!leaving)
        note_free(set_of((uintptr_t)p), (uintptr_t)p, bytes, &here);
    hak_reports_open(p, bytes);
}

void hak_reports_own(void *p, size_t bytes)
{
    paint((uintptr_t)p, (uintptr_t)p + bytes, CODE_BEYOND);
}

void hak_reports_fault(const void *p)
{
    struct stack here;
    walk(&here);
    say_stack("called", &here);
    describe((uintptr_t)p);
}

// ---- freed blocks that wait ----

static struct {
    pthread_mutex_t lock; // zero is unlocked
    size_t bytes, first, count;
    struct {
        void *p;
        size_t bytes;
    } ring[DELAYED_MAX];
} delayed;

void hak_reports_leave(bool begin)
{
    leaving = begin;
}

// The ring's first block if it must go; the caller has the lock.
static void *take_due(size_t room)
{
    bool full = delayed.bytes > DELAYED_BYTES_MAX || delayed.count + room > DELAYED_MAX;
    if (delayed.count == 0 || !full)
        return NULL;
    void *p = delayed.ring[delayed.first].p;
    delayed.bytes -= delayed.ring[delayed.first].bytes;
    delayed.first = (delayed.first + 1) % DELAYED_MAX;
    delayed.count--;
    return p;
}

void *hak_reports_due(void)
{
    if (pthread_mutex_trylock(&delayed.lock) != 0)
        return NULL; // who holds it looks himself
    void *p = take_due(0);
    pthread_mutex_unlock(&delayed.lock);
    return p;
}

void *hak_reports_delay(void *p, size_t block_bytes)
{
    if (block_bytes > DELAYED_BLOCK_MAX || pthread_mutex_trylock(&delayed.lock) != 0)
        return p;
    void *due = take_due(1);
    size_t at = (delayed.first + delayed.count++) % DELAYED_MAX;
    delayed.ring[at].p = p;
    delayed.ring[at].bytes = block_bytes;
    delayed.bytes += block_bytes;
    pthread_mutex_unlock(&delayed.lock);
    return due;
}

// ---- the other malloc ----

// AddressSanitizer's interface; gcc has no header for these.
extern int __sanitizer_get_ownership(const void *p);
extern void __interceptor_free(void *p);

bool hak_reports_is_other(const void *p)
{
    return __sanitizer_get_ownership(p) != 0;
}

void hak_reports_free_other(void *p)
{
    __interceptor_free(p);
}
