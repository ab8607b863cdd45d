// shrink.c: delta debugging on programs.
//
//   items: operations | decisions of one kind | bytes
//   cut [start, start + chunk) out; still failing: keep the cut;
//   chunk: n/2, n/4, ..., 1, and 1 again until nothing goes
//
// This is ddmin with complements only: its subsets are the complements at the first chunk size.
// Rounds over all kinds of items end when one brought nothing, since leaving out one thing may make
// another superfluous.
//
// Invariant: *program fails, whatever was tried on copies of it.
#include "shrink.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 16u

bool shrink_copy(struct ops *to, const struct ops *from)
{
    ops_clear(to);
    for (size_t i = 0; i < from->count; i++)
        if (!ops_push(to, from->list[i]))
            return false;
    for (size_t i = 0; i < from->decision_count; i++)
        if (!ops_push_decision(to, from->decisions[i]))
            return false;
    to->header = from->header;
    return true;
}

struct shrink_size shrink_measure(const struct ops *program)
{
    struct shrink_size size = { .ops = program->count };
    bool used[OPS_THREADS_MAX + 1] = { false };
    for (size_t i = 0; i < program->count; i++) {
        size.threads += !used[program->list[i].thread];
        used[program->list[i].thread] = true;
    }
    for (size_t i = 0; i < program->decision_count; i++)
        switch (program->decisions[i].kind) {
        case DECIDE_RUN:
            size.preemptions++;
            break;
        case DECIDE_READ:
            size.stale_reads++;
            break;
        default:
            size.others++;
        }
    return size;
}

// Keeps the candidate if it fails. `searched`: it may get other decisions for that.
static bool keep(struct shrink *s, struct ops *program, struct ops *candidate, bool searched)
{
    s->tried++;
    if (!s->fails(s->arg, candidate) &&
        !(searched && s->search != NULL && s->search(s->arg, candidate, SIZE_MAX)))
        return false;
    struct ops old = *program;
    *program = *candidate;
    *candidate = old;
    return true;
}

static bool copy(struct shrink *s, struct ops *to, const struct ops *from)
{
    if (!shrink_copy(to, from))
        s->out_of_memory = true;
    return !s->out_of_memory;
}

// ---- operations and decisions ----

#define OPERATIONS UINT32_MAX // else the kinds of decisions in a set of bits

static bool is_item(const struct ops *program, uint32_t what, size_t i)
{
    return what == OPERATIONS || (what >> program->decisions[i].kind & 1) != 0;
}

static size_t count_items(const struct ops *program, uint32_t what)
{
    size_t n = what == OPERATIONS ? program->count : 0;
    for (size_t i = 0; what != OPERATIONS && i < program->decision_count; i++)
        n += is_item(program, what, i);
    return n;
}

// Takes the items [start, end) out.
static void cut(struct ops *program, uint32_t what, size_t start, size_t end)
{
    size_t *count = what == OPERATIONS ? &program->count : &program->decision_count;
    size_t to = 0, item = 0;
    for (size_t i = 0, n = *count; i < n; i++) {
        size_t mine = is_item(program, what, i) ? item++ : SIZE_MAX;
        if (mine >= start && mine < end)
            continue;
        if (what == OPERATIONS)
            program->list[to++] = program->list[i];
        else
            program->decisions[to++] = program->decisions[i];
    }
    *count = to;
}

static bool shrink_items(struct shrink *s, struct ops *program, uint32_t what)
{
    struct ops candidate = { 0 };
    bool any = false, again = true;
    size_t n = count_items(program, what);
    for (size_t chunk = n > 1 ? n / 2 : n; chunk > 0 && n > 0;) {
        again = false;
        for (size_t start = 0; start < n;) {
            size_t end = start + chunk < n ? start + chunk : n;
            if (!copy(s, &candidate, program))
                goto out;
            cut(&candidate, what, start, end);
            if (keep(s, program, &candidate, what == OPERATIONS)) {
                any = again = true;
                n = count_items(program, what);
            } else
                start = end;
        }
        if (chunk > n && n > 0)
            chunk = n;
        if (chunk > 1)
            chunk /= 2;
        else if (!again)
            break;
    }
out:
    ops_free(&candidate);
    return any;
}

// ---- threads ----

// Thread `from` becomes `to`, or goes with its operations (to == from); later threads move up.
static void join_threads(struct ops *program, uint16_t from, uint16_t to)
{
    size_t n = 0;
    for (size_t i = 0; i < program->count; i++) {
        struct op op = program->list[i];
        if (op.thread == from && to == from)
            continue;
        op.thread = op.thread == from ? to : op.thread;
        op.thread = (uint16_t)(op.thread - (op.thread > from));
        program->list[n++] = op;
    }
    program->count = n;
    n = 0;
    for (size_t i = 0; i < program->decision_count; i++) {
        struct decision d = program->decisions[i];
        if (d.thread == from || (d.kind == DECIDE_RUN && d.choice == from))
            continue;
        d.thread = (uint16_t)(d.thread - (d.thread > from));
        if (d.kind == DECIDE_RUN)
            d.choice = (uint8_t)(d.choice - (d.choice > from));
        program->decisions[n++] = d;
    }
    program->decision_count = n;
    program->header.threads--;
}

static bool shrink_threads(struct shrink *s, struct ops *program)
{
    struct ops candidate = { 0 };
    bool any = false;
    for (uint16_t from = program->header.threads; from-- > 0 && program->header.threads > 1;)
        for (uint16_t i = 0; i < program->header.threads; i++) {
            // First without it, then as part of another.
            uint16_t to = i == 0 ? from : (uint16_t)(i - (i <= from));
            if (!copy(s, &candidate, program))
                goto out;
            join_threads(&candidate, from, to);
            if (keep(s, program, &candidate, true)) {
                any = true;
                break;
            }
        }
out:
    ops_free(&candidate);
    return any;
}

// ---- what operations say ----

static bool try_op(struct shrink *s, struct ops *program, struct ops *candidate, size_t i,
                   struct op op)
{
    const struct op *old = &program->list[i];
    bool same = op.kind == old->kind && op.size == old->size && op.arg == old->arg;
    if (same || !copy(s, candidate, program))
        return false;
    candidate->list[i] = op;
    return keep(s, program, candidate, false);
}

// The smallest of a few round numbers, else as few bits as will do, high ones first.
static bool shrink_number(struct shrink *s, struct ops *program, struct ops *candidate, size_t i,
                          bool arg)
{
    static const uint64_t round[] = { 0, 1, 16, 64, 1024 };
    bool any = false;
    for (unsigned k = 0; k < sizeof round / sizeof *round; k++) {
        struct op op = program->list[i];
        uint64_t *number = arg ? &op.arg : &op.size;
        if (*number <= round[k])
            break;
        *number = round[k];
        if (try_op(s, program, candidate, i, op))
            return true;
    }
    for (unsigned bit = 64; bit-- > 0;) {
        struct op op = program->list[i];
        uint64_t *number = arg ? &op.arg : &op.size;
        *number &= ~((uint64_t)1 << bit);
        any |= try_op(s, program, candidate, i, op);
    }
    return any;
}

static uint8_t plain_kind(uint8_t kind)
{
    unsigned fields = ops_fields(kind);
    if (fields & OPS_DST)
        return OP_MALLOC;
    if (kind == OP_REALLOCARRAY)
        return OP_REALLOC;
    if (fields == OPS_SLOT && kind != OP_USABLE_SIZE)
        return OP_FREE;
    return kind;
}

static bool shrink_values(struct shrink *s, struct ops *program)
{
    struct ops candidate = { 0 };
    bool any = false;
    for (size_t i = 0; i < program->count && !s->out_of_memory; i++) {
        struct op op = program->list[i];
        if (op.kind == OP_CALLOC || op.kind == OP_REALLOCARRAY)
            op.size *= op.arg;
        op.kind = plain_kind(op.kind);
        op.arg = ops_fields(op.kind) & OPS_ARG ? op.arg : 0;
        if (op.kind != program->list[i].kind)
            any |= try_op(s, program, &candidate, i, op);
        if (ops_fields(program->list[i].kind) & OPS_SIZE)
            any |= shrink_number(s, program, &candidate, i, false);
        unsigned fields = ops_fields(program->list[i].kind);
        if ((fields & OPS_ARG) && !(fields & OPS_NAMED))
            any |= shrink_number(s, program, &candidate, i, true);
    }
    ops_free(&candidate);
    return any;
}

// Slots in order of their first use; a header that says nothing but what is needed.
static void renumber(struct shrink *s, struct ops *program)
{
    struct ops candidate = { 0 };
    uint32_t *slot_of = malloc((size_t)(program->slots + 1) * sizeof *slot_of);
    if (slot_of == NULL) {
        s->out_of_memory = true;
        return;
    }
    memset(slot_of, 0xff, (size_t)(program->slots + 1) * sizeof *slot_of);
    uint32_t slots = 0;
    if (copy(s, &candidate, program)) {
        for (size_t i = 0; i < candidate.count; i++) {
            struct op *op = &candidate.list[i];
            if (!(ops_fields(op->kind) & (OPS_DST | OPS_SLOT)))
                continue;
            if (slot_of[op->slot] == UINT32_MAX)
                slot_of[op->slot] = slots++;
            op->slot = slot_of[op->slot];
        }
        candidate.slots = slots;
        keep(s, program, &candidate, false);
    }
    if (copy(s, &candidate, program)) {
        bool decided = candidate.header.strategy == OPS_DECIDED;
        candidate.header.seed = decided ? 0 : candidate.header.seed;
        candidate.header.depth = decided ? 0 : candidate.header.depth;
        candidate.header.geometry = OPS_ANY;
        candidate.header.arena_mib = 0;
        if (memcmp(&candidate.header, &program->header, sizeof candidate.header) != 0)
            keep(s, program, &candidate, false);
    }
    free(slot_of);
    ops_free(&candidate);
}

// Another schedule that needs fewer decisions.
static bool shrink_schedule(struct shrink *s, struct ops *program)
{
    struct ops candidate = { 0 };
    size_t below = program->decision_count;
    bool found = s->search != NULL && below > 1 && copy(s, &candidate, program) &&
                 s->search(s->arg, &candidate, below) && keep(s, program, &candidate, false);
    ops_free(&candidate);
    return found;
}

void shrink_program(struct shrink *s, struct ops *program)
{
    static const uint32_t decisions[] = {
        1u << DECIDE_READ,
        1u << DECIDE_CAS | 1u << DECIDE_WAKE | 1u << DECIDE_OS,
        1u << DECIDE_RUN,
    };
    bool any = true;
    for (unsigned round = 0; any && round < ROUNDS_MAX && !s->out_of_memory; round++) {
        any = shrink_items(s, program, OPERATIONS);
        any |= shrink_threads(s, program);
        for (unsigned i = 0; i < sizeof decisions / sizeof *decisions; i++)
            if (program->header.strategy == OPS_DECIDED)
                any |= shrink_items(s, program, decisions[i]);
        any |= shrink_values(s, program);
        any |= shrink_schedule(s, program);
    }
    if (!s->out_of_memory)
        renumber(s, program);
}

// ---- bytes ----

size_t shrink_bytes(bool (*fails)(void *arg, const uint8_t *data, size_t size), void *arg,
                    uint8_t *data, size_t size)
{
    uint8_t *candidate = malloc(size ? size : 1);
    bool again = candidate != NULL;
    for (size_t chunk = size > 1 ? size / 2 : size; again && chunk > 0 && size > 0;) {
        again = false;
        for (size_t start = 0; start < size;) {
            size_t end = start + chunk < size ? start + chunk : size;
            memcpy(candidate, data, start);
            memcpy(candidate + start, data + end, size - end);
            if (fails(arg, candidate, size - (end - start))) {
                memcpy(data, candidate, size -= end - start);
                again = true;
            } else
                start = end;
        }
        if (chunk > 1)
            again = true, chunk /= 2;
    }
    free(candidate);
    return size;
}
