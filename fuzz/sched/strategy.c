// strategy.c: the strategies that need no search tree: default, listed, bytes, random, PCT, POS.
//
// Invariants: a strategy draws from its own generator only, in the order in which it is asked, so
// an execution depends on (parameters, number of the execution) and on nothing else. A returned
// thread is a bit of view->enabled; a returned number is below n.
//
// Values: the newest one must stay likely, or long executions never get anywhere; each older store
// is half as likely as the one before. A weak compare-and-swap fails one time in eight.
#include "strategy.h"

#include <string.h>

#include "model.h"

bool event_conflicts(const struct event *a, const struct event *b)
{
    uint8_t ka = a->site->kind, kb = b->site->kind;
    if (ka == EVENT_BEGIN || kb == EVENT_BEGIN)
        return false;                             // nothing of another thread depends on it
    if (ka == EVENT_FENCE || kb == EVENT_FENCE) { // SC fences meet each other and all SC accesses
        return (a->site->order & ORDER_SC) && (b->site->order & ORDER_SC);
    }
    if (ka == EVENT_SYSTEM && kb == EVENT_SYSTEM)
        return true;
    if (ka == EVENT_WAIT || kb == EVENT_WAIT)
        return true;
    if (a->address == 0 || a->address != b->address)
        return false;
    return ka != EVENT_LOAD || kb != EVENT_LOAD;
}

void random_seed(struct random *r, uint64_t seed)
{
    // One round of splitmix64, so that neighbouring seeds begin far apart; never 0.
    uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    r->state = (z ^ (z >> 31)) | 1;
}

uint64_t random_next(struct random *r)
{
    uint64_t x = r->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

uint32_t random_below(struct random *r, uint32_t n)
{
    return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

// Of few threads: sooner done than the call that a build for all processors makes of the built-in.
static uint32_t count_bits(uint32_t mask)
{
    uint32_t n = 0;
    for (; mask != 0; mask &= mask - 1)
        n++;
    return n;
}

static uint32_t nth_bit(uint32_t mask, uint32_t n)
{
    while (n-- > 0)
        mask &= mask - 1;
    return (uint32_t)__builtin_ctz(mask);
}

static uint32_t random_value(struct random *r, enum choice_kind kind, uint32_t n)
{
    if (kind != CHOICE_READ)
        return (random_next(r) >> 61) == 0; // 1 in 8
    uint32_t back = 0;
    while (back + 1 < n && (random_next(r) >> 63))
        back++;
    return back;
}

// ---- default ----

static void no_begin(struct strategy *s, uint32_t threads)
{
    (void)s;
    (void)threads;
}

static uint32_t default_run(struct strategy *s, const struct sched_view *view)
{
    (void)s;
    return view->preferred;
}

static uint32_t default_choose(struct strategy *s, enum choice_kind kind, uint32_t thread,
                               uint32_t local_step, uint32_t n)
{
    (void)s, (void)kind, (void)thread, (void)local_step, (void)n;
    return 0;
}

struct strategy strategy_default(void)
{
    return (struct strategy){
        .name = "default", .begin = no_begin, .run = default_run, .choose = default_choose
    };
}

// ---- listed ----

enum { NO_CHOICE = 0xffff };

static uint32_t listed_bucket(uint32_t kind, uint32_t thread, uint32_t step)
{
    return (step * 31 + thread * 7 + kind) % 256;
}

static const struct choice *listed_find(const struct strategy_listed *s, uint32_t kind,
                                        uint32_t thread, uint32_t step)
{
    for (uint32_t i = s->head[listed_bucket(kind, thread, step)]; i != NO_CHOICE; i = s->next[i])
        if (s->list[i].step == step && s->list[i].thread == thread && s->list[i].kind == kind)
            return &s->list[i];
    return NULL;
}

static uint32_t listed_run(struct strategy *base, const struct sched_view *view)
{
    const struct choice *c = listed_find((struct strategy_listed *)base, CHOICE_RUN, view->current,
                                         view->local_step[view->current]);
    if (c == NULL)
        return view->preferred;
    // A thread that cannot go on now: the next one that can, so that an edited list stays useful.
    uint32_t t = c->value % view->threads;
    while (!(view->enabled >> t & 1))
        t = (t + 1) % view->threads;
    return t;
}

static uint32_t listed_choose(struct strategy *base, enum choice_kind kind, uint32_t thread,
                              uint32_t local_step, uint32_t n)
{
    const struct choice *c = listed_find((struct strategy_listed *)base, kind, thread, local_step);
    return c == NULL ? 0 : c->value % n;
}

void strategy_listed_init(struct strategy_listed *s, const struct choice *list, size_t count)
{
    s->base = (struct strategy){
        .name = "listed", .begin = no_begin, .run = listed_run, .choose = listed_choose
    };
    s->list = list;
    s->count = (uint32_t)(count < LISTED_CHOICES_MAX ? count : LISTED_CHOICES_MAX);
    memset(s->head, 0xff, sizeof s->head);
    for (uint32_t i = s->count; i-- > 0;) { // the first of two with the same key counts
        uint32_t b = listed_bucket(list[i].kind, list[i].thread, list[i].step);
        s->next[i] = s->head[b];
        s->head[b] = (uint16_t)i;
    }
}

// ---- bytes ----

enum { BYTE_DEFAULT_BELOW = 176 };

static uint32_t bytes_take(struct strategy_bytes *s, uint32_t usual, uint32_t n)
{
    if (s->used >= s->count)
        return usual;
    uint8_t b = s->bytes[s->used++];
    return b < BYTE_DEFAULT_BELOW ? usual : (uint32_t)(b - BYTE_DEFAULT_BELOW) % n;
}

static void bytes_begin(struct strategy *base, uint32_t threads)
{
    (void)threads;
    ((struct strategy_bytes *)base)->used = 0;
}

static uint32_t bytes_run(struct strategy *base, const struct sched_view *view)
{
    uint32_t n = count_bits(view->enabled);
    uint32_t i = bytes_take((struct strategy_bytes *)base, n, n);
    return i == n ? view->preferred : nth_bit(view->enabled, i);
}

static uint32_t bytes_choose(struct strategy *base, enum choice_kind kind, uint32_t thread,
                             uint32_t local_step, uint32_t n)
{
    (void)kind, (void)thread, (void)local_step;
    return bytes_take((struct strategy_bytes *)base, 0, n);
}

void strategy_bytes_init(struct strategy_bytes *s, const uint8_t *bytes, size_t count)
{
    *s = (struct strategy_bytes){
        .base = { .name = "bytes", .begin = bytes_begin, .run = bytes_run, .choose = bytes_choose },
        .bytes = bytes,
        .count = count,
    };
}

// ---- random walk ----

static void random_begin(struct strategy *base, uint32_t threads)
{
    struct strategy_random *s = (struct strategy_random *)base;
    (void)threads;
    random_seed(&s->random, s->seed + s->execution++ * UINT64_C(0x632be59bd9b4e019));
}

static uint32_t random_run(struct strategy *base, const struct sched_view *view)
{
    struct strategy_random *s = (struct strategy_random *)base;
    uint32_t n = count_bits(view->enabled);
    return nth_bit(view->enabled, random_below(&s->random, n));
}

static uint32_t random_choose(struct strategy *base, enum choice_kind kind, uint32_t thread,
                              uint32_t local_step, uint32_t n)
{
    (void)thread, (void)local_step;
    return random_value(&((struct strategy_random *)base)->random, kind, n);
}

void strategy_random_init(struct strategy_random *s, uint64_t seed)
{
    *s = (struct strategy_random){
        .base = { .name = "random",
                  .begin = random_begin,
                  .run = random_run,
                  .choose = random_choose },
        .seed = seed,
    };
}

// ---- PCT ----

static void pct_begin(struct strategy *base, uint32_t threads)
{
    struct strategy_pct *s = (struct strategy_pct *)base;
    random_seed(&s->random, s->seed + s->execution++ * UINT64_C(0x632be59bd9b4e019));
    if (s->step > s->steps)
        s->steps = s->step;
    s->step = 0;
    s->lowest = 0;
    for (uint32_t i = 0; i < threads; i++) { // a random permutation of 1..threads
        uint32_t j = random_below(&s->random, i + 1);
        s->priority[i] = s->priority[j];
        s->priority[j] = (int32_t)i + 1;
    }
    uint32_t d = s->depth != 0 ? s->depth : 2 + random_below(&s->random, 4);
    s->changes = d - 1;
    for (uint32_t i = 0; i < s->changes; i++)
        s->change[i] = random_below(&s->random, s->steps) + 1;
}

static uint32_t pct_run(struct strategy *base, const struct sched_view *view)
{
    struct strategy_pct *s = (struct strategy_pct *)base;
    s->step++;
    for (uint32_t i = 0; i < s->changes; i++)
        if (s->change[i] == s->step)
            s->priority[view->current] = s->lowest--;
    uint32_t best = (uint32_t)__builtin_ctz(view->enabled);
    for (uint32_t t = best + 1; t < view->threads; t++)
        if ((view->enabled >> t & 1) && s->priority[t] > s->priority[best])
            best = t;
    return best;
}

static void pct_performed(struct strategy *base, const struct sched_view *view, uint32_t thread)
{
    struct strategy_pct *s = (struct strategy_pct *)base;
    if (view->pending[thread].site->kind == EVENT_YIELD)
        s->priority[thread] = s->lowest--;
}

static uint32_t pct_choose(struct strategy *base, enum choice_kind kind, uint32_t thread,
                           uint32_t local_step, uint32_t n)
{
    (void)thread, (void)local_step;
    return random_value(&((struct strategy_pct *)base)->random, kind, n);
}

void strategy_pct_init(struct strategy_pct *s, uint64_t seed, uint32_t depth, uint32_t steps)
{
    *s = (struct strategy_pct){
        .base = { .name = "pct",
                  .begin = pct_begin,
                  .run = pct_run,
                  .choose = pct_choose,
                  .performed = pct_performed },
        .seed = seed,
        .depth = depth < PCT_DEPTH_MAX ? depth : PCT_DEPTH_MAX,
        .steps = steps != 0 ? steps : 1,
    };
}

// ---- POS ----

static void pos_begin(struct strategy *base, uint32_t threads)
{
    struct strategy_pos *s = (struct strategy_pos *)base;
    random_seed(&s->random, s->seed + s->execution++ * UINT64_C(0x632be59bd9b4e019));
    for (uint32_t i = 0; i < threads; i++)
        s->priority[i] = random_next(&s->random);
}

static uint32_t pos_run(struct strategy *base, const struct sched_view *view)
{
    const struct strategy_pos *s = (struct strategy_pos *)base;
    uint32_t best = (uint32_t)__builtin_ctz(view->enabled);
    for (uint32_t t = best + 1; t < view->threads; t++)
        if ((view->enabled >> t & 1) && s->priority[t] > s->priority[best])
            best = t;
    return best;
}

static void pos_performed(struct strategy *base, const struct sched_view *view, uint32_t thread)
{
    struct strategy_pos *s = (struct strategy_pos *)base;
    for (uint32_t t = 0; t < view->threads; t++)
        if (t == thread || (view->pending[t].site != NULL &&
                            event_conflicts(&view->pending[t], &view->pending[thread])))
            s->priority[t] = random_next(&s->random);
}

static uint32_t pos_choose(struct strategy *base, enum choice_kind kind, uint32_t thread,
                           uint32_t local_step, uint32_t n)
{
    (void)thread, (void)local_step;
    return random_value(&((struct strategy_pos *)base)->random, kind, n);
}

void strategy_pos_init(struct strategy_pos *s, uint64_t seed)
{
    *s = (struct strategy_pos){
        .base = { .name = "pos",
                  .begin = pos_begin,
                  .run = pos_run,
                  .choose = pos_choose,
                  .performed = pos_performed },
        .seed = seed,
    };
}
