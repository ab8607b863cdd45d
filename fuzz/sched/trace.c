// trace.c: records, hash, and the time line for people.
//
// The hash must not depend on where the loader put the program: locations enter by the order of
// their first touch, and values that point into the program's image as offsets from its start.
// Everything else that could move (the virtual arena) lies at a fixed address.
//
// Arrays are static. Records beyond SCHED_TRACE_MAX are hashed and dropped; choices beyond
// SCHED_CHOICES_MAX fail the execution, because it could not be replayed from them.
#include "trace.h"

#include <inttypes.h>
#include <string.h>

extern const char __executable_start[], end[]; // from the linker

static struct {
    struct sched_record records[SCHED_TRACE_MAX];
    struct choice choices[SCHED_CHOICES_MAX];
    uint32_t record_count, choice_count, stale_reads;
    uint64_t hash;
} trace;

void trace_begin(void)
{
    trace.record_count = trace.choice_count = trace.stale_reads = 0;
    trace.hash = UINT64_C(0xcbf29ce484222325);
}

static void mix(uint64_t v)
{
    trace.hash = (trace.hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    trace.hash ^= trace.hash >> 29;
}

static uint64_t without_base(uint64_t v)
{
    uint64_t base = (uint64_t)(uintptr_t)__executable_start;
    return v - base < (uint64_t)(uintptr_t)end - base ? v - base : v;
}

void trace_step(const struct sched_record *r)
{
    mix((uint64_t)r->thread << 48 | (uint64_t)r->site->kind << 40 | (uint64_t)r->back << 32 |
        (uint64_t)r->failed << 31 | r->location);
    mix(without_base(r->value));
    trace.stale_reads += r->back != 0;
    if (trace.record_count < SCHED_TRACE_MAX)
        trace.records[trace.record_count++] = *r;
}

void trace_choice(uint32_t thread, enum choice_kind kind, uint32_t step, uint32_t value)
{
    if (trace.choice_count == SCHED_CHOICES_MAX)
        sched_fail("harness", "more than %u choices in one execution", SCHED_CHOICES_MAX);
    trace.choices[trace.choice_count++] = (struct choice){
        .thread = (uint16_t)thread, .kind = (uint8_t)kind, .value = (uint8_t)value, .step = step
    };
}

void trace_end(struct sched_report *report)
{
    report->hash = trace.hash;
    report->stale_reads = trace.stale_reads;
    report->trace = trace.records;
    report->trace_count = trace.record_count;
    report->choices = trace.choices;
    report->choice_count = trace.choice_count;
}

const char *sched_outcome_name(enum sched_outcome outcome)
{
    static const char *const names[] = {
        "ok", "failed", "deadlock", "livelock", "pruned", "starved"
    };
    return names[outcome];
}

static const char *base_name(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : path != NULL ? path : "";
}

static void format_value(char *out, size_t room, uint64_t v)
{
    uint64_t offset = without_base(v);
    if (offset != v)
        snprintf(out, room, "image+%#" PRIx64, offset);
    else
        snprintf(out, room, v < 10 ? "%" PRIu64 : "%#" PRIx64, v);
}

static int format_step(const struct sched_program *program, const struct sched_record *r, char *out,
                       size_t room)
{
    char value[32], old[32];
    format_value(value, sizeof value, r->value);
    format_value(old, sizeof old, r->old);
    const char *name = r->site->name;
    switch (r->site->kind) {
    case EVENT_LOAD:
        if (r->back != 0)
            return snprintf(out, room, "%s -> %s  STALE by %u", name, value, r->back);
        return snprintf(out, room, "%s -> %s", name, value);
    case EVENT_STORE:
        return snprintf(out, room, "%s = %s", name, value);
    case EVENT_UPDATE:
        return snprintf(out, room, "%s: %s => %s", name, old, value);
    case EVENT_CAS_STRONG:
    case EVENT_CAS_WEAK:
        if (r->failed)
            return snprintf(out, room, "%s: cas FAILS, is %s", name, old);
        return snprintf(out, room, "%s: cas %s => %s", name, old, value);
    case EVENT_NOTE:
        if (program->describe == NULL)
            return snprintf(out, room, "note %s", value);
        program->describe(program->arg, r->value, out, room);
        return 0;
    case EVENT_SYSTEM:
        return snprintf(out, room, "%s(%#" PRIxPTR ", %s)%s", name, r->address, value,
                        r->failed ? " FAILS" : "");
    default:
        return snprintf(out, room, "%s", name);
    }
}

void sched_print_timeline(const struct sched_program *program, const struct sched_report *report,
                          FILE *out)
{
    int width = program->threads <= 2 ? 46 : program->threads == 3 ? 40 : 34;
    fprintf(out, "%5s ", "step");
    for (uint32_t t = 0; t < program->threads; t++)
        fprintf(out, "| thread %-*u", width - 8, t);
    fprintf(out, "| source\n");
    for (uint32_t i = 0; i < report->trace_count; i++) {
        const struct sched_record *r = &report->trace[i];
        char text[160];
        format_step(program, r, text, sizeof text);
        fprintf(out, "%5" PRIu32 "%c", r->step, r->preempted ? '*' : ' ');
        for (uint32_t t = 0; t < program->threads; t++)
            fprintf(out, "| %-*.*s", width - 1, width - 1, t == r->thread ? text : "");
        if (r->site->file != NULL)
            fprintf(out, "| %s:%" PRIu32, base_name(r->site->file), r->site->line);
        fprintf(out, "\n");
    }
    if (report->steps > report->trace_count && report->trace_count == SCHED_TRACE_MAX)
        fprintf(out, "  ... only the first %u records were kept\n", SCHED_TRACE_MAX);
    fprintf(out,
            "* = the thread before it was preempted. %" PRIu32 " steps, %" PRIu32
            " preemptions, %" PRIu32 " stale reads, hash %016" PRIx64 ": %s",
            report->steps, report->preemptions, report->stale_reads, report->hash,
            sched_outcome_name(report->outcome));
    if (report->outcome != SCHED_OK)
        fprintf(out, ": %s: %s", report->kind, report->message);
    fprintf(out, "\n");
}
