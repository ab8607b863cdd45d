// report.c: statistics as text, JSON and CSV: when asked, at exit, and on a signal.
//
// One table of fields for all three: a name and a place in a structure of hakmem.h. Every report is
// a row of totals, then tables of rows:
//
//   text   totals a line each; of a table one block of columns for each group of its fields
//   JSON   one object: totals, then an array of objects for each table
//   CSV    table,row,name,value     for each figure
//
// The signal. Its handler may run in any thread at any moment, so it locks nothing, uses little
// stack, and what it needs more is static, which one report at a time may use: a signal
// that comes meanwhile is dropped. It belongs to the program: where that has a handler, ours is not
// set, and a line says so; one that it sets later replaces ours.
#include <seam/atomics.h>
#include <seam/signals.h>
#include <seam/stack.h>

#include "attach.h"
#include "foreign.h"
#include "options.h"
#include "pprof.h"
#include "print.h"
#include "stats.h"

enum format { FORMAT_TEXT = 1, FORMAT_JSON, FORMAT_CSV, FORMAT_PROFILE };
enum { TEXT_HEAPS_MAX = 64, FOREIGN_SITES_MAX = 16, NAME_BYTES = 160, NAME_COLUMN = 24 };

struct report {
    struct collected all;
    struct printer out;
    enum format format;
    char buffer[1024];
};

// ---- fields ----

struct field {
    const char *name;
    uint16_t offset; // of a uint64_t in the row
    uint8_t group;   // of columns in text
};

#define FIELD(structure, group, field)                   \
    {                                                    \
#field, offsetof(struct structure, field), group \
    }
#define FLOW_FIELD(structure, group, field)                   \
    {                                                         \
#field, offsetof(struct structure, flow.field), group \
    }
#define FLOW_FIELDS(s, front, refill, flush)                                    \
    FLOW_FIELD(s, front, malloc_hits), FLOW_FIELD(s, front, malloc_misses),     \
        FLOW_FIELD(s, front, free_hits), FLOW_FIELD(s, front, free_misses),     \
        FLOW_FIELD(s, front, refilled), FLOW_FIELD(s, flush, flushed_own),      \
        FLOW_FIELD(s, flush, flushed_remote), FLOW_FIELD(s, flush, runs_own),   \
        FLOW_FIELD(s, flush, runs_remote), FLOW_FIELD(s, refill, from_current), \
        FLOW_FIELD(s, refill, from_partial), FLOW_FIELD(s, refill, from_inbox), \
        FLOW_FIELD(s, refill, from_empty), FLOW_FIELD(s, refill, from_unused),  \
        FLOW_FIELD(s, refill, from_new)
enum { FLOW_FIELD_COUNT = sizeof(struct hak_flow) / sizeof(uint64_t) };

#define TOTAL(field) FIELD(hak_stats, 0, field)
static const struct field total_fields[] = {
    TOTAL(reserved_bytes),
    TOTAL(committed_bytes),
    TOTAL(committed_peak_bytes),
    TOTAL(live_bytes),
    TOTAL(cached_bytes),
    TOTAL(empty_bytes),
    TOTAL(metadata_bytes),
    TOTAL(heaps),
    TOTAL(heaps_idle),
    TOTAL(superslabs),
    FLOW_FIELDS(hak_stats, 0, 0, 0),
    TOTAL(count_hits),
    TOTAL(failures),
    TOTAL(slabs_released),
    TOTAL(flushes),
    TOTAL(remote_freed),
    TOTAL(remote_drained),
    TOTAL(drains),
    TOTAL(drained_slabs),
    TOTAL(sweeps),
    TOTAL(adopted),
    TOTAL(purges),
    TOTAL(purged_bytes),
    TOTAL(large_live),
    TOTAL(huge_live),
    TOTAL(mapped_live),
    TOTAL(large_kept),
    TOTAL(large_empty),
    TOTAL(large_unused),
    TOTAL(large_new),
    TOTAL(foreign_frees),
    TOTAL(os_failures),
    TOTAL(page_faults_minor),
    TOTAL(page_faults_major),
};

// The first field of a row is its key.
#define OF_CLASS(group, field) FIELD(hak_class_stats, group, field)
static const struct field class_fields[] = {
    OF_CLASS(0, block_bytes), OF_CLASS(0, slabs),
    OF_CLASS(0, capacity),    OF_CLASS(0, live),
    OF_CLASS(0, cached),      OF_CLASS(0, free),
    OF_CLASS(0, remote),      FLOW_FIELDS(hak_class_stats, 1, 2, 3),
};

#define OF_HEAP(group, field) FIELD(hak_heap_stats, group, field)
static const struct field heap_fields[] = {
    OF_HEAP(0, heap),
    OF_HEAP(0, thread),
    OF_HEAP(0, threads),
    OF_HEAP(0, cached_bytes),
    FLOW_FIELDS(hak_heap_stats, 1, 2, 3),
    OF_HEAP(0, failures),
    OF_HEAP(3, flushes),
    OF_HEAP(4, remote_drained),
    OF_HEAP(4, drains),
    OF_HEAP(4, drained_slabs),
    OF_HEAP(4, sweeps),
    OF_HEAP(4, adopted),
    OF_HEAP(5, slabs_released),
    OF_HEAP(5, purges),
    OF_HEAP(5, purged_bytes),
    OF_HEAP(5, large_kept),
    OF_HEAP(5, large_empty),
    OF_HEAP(5, large_unused),
    OF_HEAP(5, large_new),
    OF_HEAP(0, page_faults_minor),
    OF_HEAP(0, page_faults_major),
};

// Rows with a name, which is their first member.
#define OF_LOCK(field) FIELD(hak_lock_stats, 0, field)
static const struct field lock_fields[] = { OF_LOCK(name), OF_LOCK(contended), OF_LOCK(slept) };
static const struct field retry_fields[] = { FIELD(hak_retry_stats, 0, name),
                                             FIELD(hak_retry_stats, 0, retries) };
struct site_row {
    const char *name;
    uint64_t frees;
};
static const struct field site_fields[] = { FIELD(site_row, 0, name), FIELD(site_row, 0, frees) };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
_Static_assert(COUNT_OF(total_fields) * sizeof(uint64_t) == sizeof(struct hak_stats) &&
                   COUNT_OF(class_fields) * sizeof(uint64_t) == sizeof(struct hak_class_stats) &&
                   COUNT_OF(heap_fields) * sizeof(uint64_t) == sizeof(struct hak_heap_stats) &&
                   COUNT_OF(lock_fields) * sizeof(uint64_t) == sizeof(struct hak_lock_stats) &&
                   COUNT_OF(retry_fields) * sizeof(uint64_t) == sizeof(struct hak_retry_stats),
               "every figure has a field");

static uint64_t value_of(const void *row, const struct field *f)
{
    return *(const uint64_t *)((const char *)row + f->offset);
}

static const char *name_of(const void *row)
{
    return *(const char *const *)row;
}

// ---- tables ----

union row {
    struct hak_heap_stats heap;
    struct hak_lock_stats lock;
    struct hak_retry_stats retry;
    struct {
        struct site_row row;
        char name[NAME_BYTES];
    } site;
};

struct table {
    const char *name;   // of the array in JSON, and above the columns
    const char *single; // of a row in CSV
    const struct field *fields;
    size_t count; // of fields
    bool named;   // the key is a text
    // Row *index or the next that is worth showing: in `space`, or elsewhere. NULL: the end.
    const void *(*row)(struct report *r, unsigned *index, union row *space);
};

static const void *class_row(struct report *r, unsigned *index, union row *space)
{
    (void)space;
    for (; *index < CLASS_COUNT; ++*index) {
        const struct hak_class_stats *c = &r->all.classes[*index];
        if (c->slabs != 0 || c->flow.refilled != 0)
            return c;
    }
    return NULL;
}

static const void *heap_row(struct report *r, unsigned *index, union row *space)
{
    bool enough = r->format == FORMAT_TEXT && *index == TEXT_HEAPS_MAX;
    return !enough && hak_get_heap_stats(*index, &space->heap) ? &space->heap : NULL;
}

static const void *lock_row(struct report *r, unsigned *index, union row *space)
{
    (void)r;
    return hak_get_lock_stats(*index, &space->lock) ? &space->lock : NULL;
}

static const void *retry_row(struct report *r, unsigned *index, union row *space)
{
    (void)r;
    return hak_get_retry_stats(*index, &space->retry) ? &space->retry : NULL;
}

// "module+0xoffset", or the address. What JSON or CSV would read as its own becomes '?'.
static const void *site_row(struct report *r, unsigned *index, union row *space)
{
    const void *site;
    struct printer name;
    size_t offset;
    (void)r;
    space->site.row.name = space->site.name;
    if (*index == FOREIGN_SITES_MAX || !hak_foreign_site(*index, &site, &space->site.row.frees))
        return NULL;
    hak_print_to_buffer(&name, space->site.name, sizeof space->site.name);
    const char *module = hak_stack_module(site, &offset);
    if (module != NULL) {
        hak_put_text(&name, module);
        hak_put_text(&name, "+");
    }
    hak_put_hex(&name, module != NULL ? offset : (uintptr_t)site);
    for (char *c = space->site.name; *c != 0; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\' || *c == ',')
            *c = '?';
    return &space->site.row;
}

static const struct table tables[] = {
    { "classes", "class", class_fields, COUNT_OF(class_fields), false, class_row },
    { "heaps", "heap", heap_fields, COUNT_OF(heap_fields), false, heap_row },
    { "locks", "lock", lock_fields, COUNT_OF(lock_fields), true, lock_row },
    { "retry_loops", "retry_loop", retry_fields, COUNT_OF(retry_fields), true, retry_row },
    { "foreign", "foreign", site_fields, COUNT_OF(site_fields), true, site_row },
};

// ---- text ----

// Two blanks before the longest name or an ordinary figure.
static unsigned width_of(const struct field *f)
{
    unsigned n = 0;
    while (f->name[n] != 0)
        n++;
    return n < 10 ? 12 : n + 2;
}

// The heads of the columns for row == NULL.
static void text_row(struct printer *out, const struct table *t, unsigned group, const void *row)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct field *f = &t->fields[i];
        if (i != 0 && f->group != group)
            continue;
        if (i == 0 && t->named)
            hak_put_text_column(out, row != NULL ? name_of(row) : f->name, NAME_COLUMN);
        else if (row != NULL)
            hak_put_decimal_column(out, value_of(row, f), width_of(f));
        else
            hak_put_text_right(out, f->name, width_of(f));
    }
    hak_put_text(out, "\n");
}

static void text_group(struct report *r, const struct table *t, unsigned group)
{
    union row space;
    unsigned index = 0;
    const void *row = t->row(r, &index, &space);
    if (row == NULL)
        return;
    hak_put_text(&r->out, "\n");
    hak_put_text(&r->out, t->name);
    hak_put_text(&r->out, "\n");
    text_row(&r->out, t, group, NULL);
    for (; row != NULL; index++, row = t->row(r, &index, &space))
        text_row(&r->out, t, group, row);
}

static void text_report(struct report *r)
{
    const struct hak_stats *totals = &r->all.totals;
    hak_put_text(&r->out, "hakmem ");
    hak_put_text(&r->out, hak_version());
    hak_put_text(&r->out, totals->count_hits != 0 ? "\n" : "\nhits: at least\n");
    for (size_t i = 0; i < COUNT_OF(total_fields); i++) {
        hak_put_text_column(&r->out, total_fields[i].name, NAME_COLUMN);
        hak_put_decimal_column(&r->out, value_of(totals, &total_fields[i]), 16);
        hak_put_text(&r->out, "\n");
    }
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        unsigned groups = 0;
        for (size_t f = 0; f < tables[i].count; f++)
            groups = tables[i].fields[f].group > groups ? tables[i].fields[f].group : groups;
        for (unsigned group = 0; group <= groups; group++)
            text_group(r, &tables[i], group);
    }
    if (totals->heaps > TEXT_HEAPS_MAX) {
        hak_put_text(&r->out, "\nheaps not shown: ");
        hak_put_decimal(&r->out, totals->heaps - TEXT_HEAPS_MAX);
        hak_put_text(&r->out, " (JSON and CSV have all)\n");
    }
}

// ---- JSON ----

static void json_row(struct report *r, const struct table *t, const void *row)
{
    bool first = true;
    hak_put_text(&r->out, "{");
    for (size_t i = 0; i < t->count; i++) {
        if (i == 0 && t->named) {
            hak_put_text(&r->out, "\"name\": \"");
            hak_put_text(&r->out, name_of(row));
            hak_put_text(&r->out, "\"");
            first = false;
        } else {
            hak_put_json(&r->out, &first, t->fields[i].name, value_of(row, &t->fields[i]));
        }
    }
    hak_put_text(&r->out, "}");
}

static void json_table(struct report *r, const struct table *t)
{
    union row space;
    const void *row;
    hak_put_text(&r->out, ",\n\"");
    hak_put_text(&r->out, t->name);
    hak_put_text(&r->out, "\": [");
    for (unsigned index = 0, shown = 0; (row = t->row(r, &index, &space)) != NULL; index++) {
        hak_put_text(&r->out, shown++ == 0 ? "\n" : ",\n");
        json_row(r, t, row);
    }
    hak_put_text(&r->out, "]");
}

static void json_report(struct report *r)
{
    bool first = false;
    hak_put_text(&r->out, "{\"version\": \"");
    hak_put_text(&r->out, hak_version());
    hak_put_text(&r->out, "\"");
    for (size_t i = 0; i < COUNT_OF(total_fields); i++)
        hak_put_json(&r->out, &first, total_fields[i].name,
                     value_of(&r->all.totals, &total_fields[i]));
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        json_table(r, &tables[i]);
    hak_put_text(&r->out, "}\n");
}

// ---- CSV ----

static void csv_line(struct report *r, const char *table, const char *key, uint64_t number,
                     const struct field *f, const void *row)
{
    hak_put_text(&r->out, table);
    hak_put_text(&r->out, ",");
    if (key != NULL)
        hak_put_text(&r->out, key);
    else
        hak_put_decimal(&r->out, number);
    hak_put_text(&r->out, ",");
    hak_put_text(&r->out, f->name);
    hak_put_text(&r->out, ",");
    hak_put_decimal(&r->out, value_of(row, f));
    hak_put_text(&r->out, "\n");
}

static void csv_report(struct report *r)
{
    hak_put_text(&r->out, "table,row,name,value\n");
    for (size_t i = 0; i < COUNT_OF(total_fields); i++)
        csv_line(r, "total", "", 0, &total_fields[i], &r->all.totals);
    for (const struct table *t = tables; t < tables + COUNT_OF(tables); t++) {
        union row space;
        const void *row;
        for (unsigned index = 0; (row = t->row(r, &index, &space)) != NULL; index++)
            for (size_t i = 1; i < t->count; i++)
                csv_line(r, t->single, t->named ? name_of(row) : NULL,
                         t->named ? 0 : value_of(row, &t->fields[0]), &t->fields[i], row);
    }
}

// ---- when ----

static void print(struct report *r, int fd, uint64_t format)
{
    r->format = (enum format)format;
    hak_stats_collect(&r->all);
    hak_print_to_fd(&r->out, r->buffer, sizeof r->buffer, fd);
    if (format == FORMAT_JSON)
        json_report(r);
    else if (format == FORMAT_CSV)
        csv_report(r);
    else
        text_report(r);
    hak_print_end(&r->out);
}

void hak_print_stats(int fd)
{
    struct report r;
    print(&r, fd, FORMAT_TEXT);
}

void hak_print_stats_json(int fd)
{
    struct report r;
    print(&r, fd, FORMAT_JSON);
}

void hak_print_stats_csv(int fd)
{
    struct report r;
    print(&r, fd, FORMAT_CSV);
}

void hak_print_foreign(int fd)
{
    char buffer[256];
    struct printer out;
    const void *site;
    uint64_t frees;
    hak_print_to_fd(&out, buffer, sizeof buffer, fd);
    hak_put_text(&out, "hakmem: frees of foreign pointers: ");
    hak_put_decimal(&out, hak_foreign_total());
    hak_put_text(&out, "\n");
    for (unsigned rank = 0; rank < FOREIGN_SITES_MAX && hak_foreign_site(rank, &site, &frees);
         rank++) {
        hak_put_decimal_column(&out, frees, 12);
        hak_put_text(&out, " from ");
        hak_put_hex(&out, (uintptr_t)site);
        hak_put_text(&out, "\n");
    }
    hak_print_end(&out);
}

void hak_on_signal(int fd, unsigned format)
{
    static struct report report;
    static struct atomic_u32 busy;
    if (exchange_acquire(REPORT_BUSY, &busy, 1) != 0) // pairs with REPORT_DONE
        return;
    if (format == FORMAT_PROFILE) {
        hak_pprof_answer(fd);
    } else {
        static uint32_t profiles;
        if (format < FORMAT_TEXT || format > FORMAT_CSV) { // nobody said which
            format = hak_options.stats != 0 ? (unsigned)hak_options.stats : FORMAT_TEXT;
            hak_pprof_write_file(++profiles);
        }
        print(&report, fd, format);
    }
    store_release(REPORT_DONE, &busy, 0); // the report, to its next user
}

__attribute__((destructor)) static void report_at_exit(void)
{
    if (!hak_started())
        return;
    struct report r;
    if (hak_options.stats != 0)
        print(&r, 2, hak_options.stats);
    if (hak_options.foreign != 0)
        hak_print_foreign(2);
    hak_pprof_write_file(0);
}
