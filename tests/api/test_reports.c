// test_reports.c: statistics of threads, what crosses between them, children of fork, and that each
// report says the same.
#include "api.h"

#include <pthread.h>
#include <sys/syscall.h>

#define SIZE ((size_t)112)

static struct hak_class_stats class_of(size_t n)
{
    struct hak_class_stats c = { 0 };
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++)
        if (c.block_bytes >= n + CANARY)
            return c;
    fail_msg("no class has blocks of %zu bytes", n);
    return c;
}

// The heap of a thread.
static bool find_heap(long thread, struct hak_heap_stats *out)
{
    for (unsigned i = 0; hak_get_heap_stats(i, out); i++)
        if (out->thread == (uint64_t)thread)
            return true;
    return false;
}

static long my_id(void)
{
    return syscall(SYS_gettid);
}

// ---- threads ----

enum { REMOTE = 500 };
static void *blocks[REMOTE];
static struct hak_heap_stats at_end;
static long id_of_thread;

static void *free_all(void *argument)
{
    for (unsigned i = 0; i < REMOTE; i++)
        hak_free(blocks[i]);
    hak_free(hak_malloc(SIZE * 2));
    id_of_thread = my_id();
    *(bool *)argument = find_heap(id_of_thread, &at_end);
    return NULL;
}

static void remote_frees_are_sent_and_received(void **state)
{
    struct hak_heap_stats mine, before;
    struct hak_stats totals_before, totals;
    pthread_t thread;
    bool found = false;
    (void)state;
    hak_malloc_trim(0);
    for (unsigned i = 0; i < REMOTE; i++)
        assert_non_null(blocks[i] = hak_malloc(SIZE));
    assert_true(find_heap(my_id(), &before));
    hak_get_stats(&totals_before);
    assert_int_equal(pthread_create(&thread, NULL, free_all, &found), 0);
    pthread_join(thread, NULL);
    // While it ran the heap was the thread's; now it is idle, and all it had is flushed.
    assert_true(found);
    assert_true(at_end.threads >= 1 && at_end.flow.malloc_misses >= 1);
    assert_true(at_end.page_faults_minor > 0 || under_a_tool() || SANITIZED);
    assert_false(find_heap(id_of_thread, &mine));
    hak_get_stats(&totals);
    assert_int_equal(totals.remote_freed - totals_before.remote_freed, REMOTE);
    assert_int_equal(totals.flow.flushed_remote - totals_before.flow.flushed_remote, REMOTE);
    uint64_t runs = totals.flow.runs_remote - totals_before.flow.runs_remote;
    assert_true(runs >= REMOTE / 64 && runs <= REMOTE);
    assert_int_equal(class_of(SIZE).remote, REMOTE); // none is received yet
    assert_true(find_heap(my_id(), &mine));
    assert_int_equal(mine.flow.flushed_remote, before.flow.flushed_remote);
    assert_int_equal(mine.remote_drained, before.remote_drained);
    hak_malloc_trim(0);
    assert_true(find_heap(my_id(), &mine));
    assert_int_equal(mine.remote_drained - before.remote_drained, REMOTE);
    assert_true(mine.drained_slabs > before.drained_slabs);
    assert_true(mine.drains > before.drains);
    assert_int_equal(class_of(SIZE).remote, 0);
}

// Figures of both structures; those of struct hak_flow come first in it.
#define IN_BOTH(field)                                                            \
    {                                                                             \
        offsetof(struct hak_stats, field), offsetof(struct hak_heap_stats, field) \
    }
static const struct {
    size_t total, heap;
} same[] = {
    IN_BOTH(failures),     IN_BOTH(slabs_released), IN_BOTH(flushes),    IN_BOTH(remote_drained),
    IN_BOTH(drains),       IN_BOTH(drained_slabs),  IN_BOTH(sweeps),     IN_BOTH(adopted),
    IN_BOTH(purges),       IN_BOTH(purged_bytes),   IN_BOTH(large_kept), IN_BOTH(large_empty),
    IN_BOTH(large_unused), IN_BOTH(large_new),
};
enum { FLOWS = sizeof(struct hak_flow) / sizeof(uint64_t) };

static uint64_t *figure(void *structure, size_t offset)
{
    return (uint64_t *)((char *)structure + offset);
}

static void add_heap(struct hak_heap_stats *sum, struct hak_heap_stats *h)
{
    for (unsigned i = 0; i < FLOWS; i++)
        ((uint64_t *)&sum->flow)[i] += ((uint64_t *)&h->flow)[i];
    for (unsigned i = 0; i < COUNT_OF(same); i++)
        *figure(sum, same[i].heap) += *figure(h, same[i].heap);
    sum->cached_bytes += h->cached_bytes;
    sum->threads += h->thread == 0;
}

static void *end_a_thread(void *argument)
{
    hak_free(hak_malloc(SIZE));
    return argument;
}

static void sums_of_heaps_and_classes_agree(void **state)
{
    struct hak_stats totals;
    struct hak_heap_stats h, sum = { 0 };
    struct hak_class_stats c;
    uint64_t by_class = 0;
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, end_a_thread, NULL), 0);
    pthread_join(thread, NULL);
    hak_malloc_trim(0); // sweeps it
    hak_get_stats(&totals);
    for (unsigned i = 0; hak_get_heap_stats(i, &h); i++) {
        assert_int_equal(h.heap, i);
        add_heap(&sum, &h);
    }
    assert_memory_equal(&totals.flow, &sum.flow, sizeof sum.flow);
    for (unsigned i = 0; i < COUNT_OF(same); i++)
        assert_int_equal(*figure(&totals, same[i].total), *figure(&sum, same[i].heap));
    assert_true(sum.drains != 0 && sum.drained_slabs != 0 && sum.sweeps != 0 && sum.flushes != 0);
    assert_int_equal(totals.heaps_idle, sum.threads);
    assert_true(totals.heaps_idle != 0);
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++) {
        by_class += c.flow.refilled;
        assert_int_equal(c.capacity, c.live + c.cached + c.free + c.remote);
    }
    assert_int_equal(by_class, totals.flow.refilled);
    if ((HAK_MITIGATIONS & 16) == 0) // blocks in quarantine are cached, in no heap's magazine
        assert_int_equal(totals.cached_bytes, sum.cached_bytes);
    assert_false(hak_get_heap_stats((unsigned)totals.heaps, &h));
}

// ---- fork ----

static uint64_t parents_faults;
static struct hak_flow parents_flow;

static void child_goes_on(void)
{
    struct hak_stats s;
    struct hak_heap_stats mine;
    struct hak_flow flow = class_of(SIZE).flow;
    CHILD_CHECK(memcmp(&flow, &parents_flow, sizeof flow) == 0);
    hak_get_stats(&s);
    CHILD_CHECK(s.page_faults_minor < parents_faults);
    CHILD_CHECK(find_heap(my_id(), &mine) && my_id() == getpid());
    hak_free(hak_malloc(SIZE));
}

static void a_child_goes_on_from_its_parents_figures(void **state)
{
    (void)state;
    if (!is_measurable())
        skip(); // tools count faults of their own
    hak_free(hak_malloc(SIZE));
    static char touched[MIB(64)];
    for (size_t i = 0; i < sizeof touched; i += 4096)
        ((volatile char *)touched)[i] = 1;
    struct hak_stats s;
    hak_get_stats(&s);
    parents_faults = s.page_faults_minor;
    parents_flow = class_of(SIZE).flow;
    assert_exited_0(run_child(child_goes_on));
    struct hak_flow flow = class_of(SIZE).flow;
    assert_int_equal(memcmp(&flow, &parents_flow, sizeof flow), 0); // its frees are its own
}

// ---- reports ----

static char *printed_by(void (*print)(int fd), char *text, size_t bytes)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    print(fileno(file));
    rewind(file);
    size_t n = fread(text, 1, bytes - 1, file);
    text[n] = 0;
    fclose(file);
    return text;
}

// The JSON object of a row, or all of it for the totals.
static char *object_of(char *json, const char *table, const char *row)
{
    char key[256];
    if (strcmp(table, "total") == 0)
        return json;
    if (strcmp(table, "class") == 0)
        snprintf(key, sizeof key, "{\"block_bytes\": %s, ", row);
    else if (strcmp(table, "heap") == 0)
        snprintf(key, sizeof key, "{\"heap\": %s, ", row);
    else
        snprintf(key, sizeof key, "{\"name\": \"%s\", ", row);
    char *object = strstr(json, key);
    if (object == NULL)
        fail_msg("JSON has no %s %s", table, row);
    return object;
}

static void check_line(char *json, char *line)
{
    char *table = strsep(&line, ","), *row = strsep(&line, ","), *name = strsep(&line, ",");
    if (line == NULL || table[0] == 0 || name[0] == 0)
        fail_msg("a line of CSV without four columns");
    if (strncmp(name, "page_faults", 11) == 0)
        return; // each report makes some
    char *object = object_of(json, table, row), key[96];
    snprintf(key, sizeof key, "\"%s\": %s", name, line);
    char *end = strchr(object + 1, object == json ? '[' : '}');
    char *found = strstr(object, key);
    if (found == NULL || found > end || (found[strlen(key)] != ',' && found[strlen(key)] != '}'))
        fail_msg("JSON has not %s of %s %s: %s", name, table, row, line);
}

static void json_and_csv_say_the_same(void **state)
{
    static char json[1 << 18], csv[1 << 18], text[1 << 18];
    unsigned lines = 0, totals = 0;
    (void)state;
    void *p = hak_malloc(SIZE);
    printed_by(hak_print_stats_json, json, sizeof json);
    printed_by(hak_print_stats_csv, csv, sizeof csv);
    printed_by(hak_print_stats, text, sizeof text);
    char *rest = csv;
    assert_string_equal(strsep(&rest, "\n"), "table,row,name,value");
    for (char *line; (line = strsep(&rest, "\n")) != NULL && line[0] != 0; lines++) {
        totals += strncmp(line, "total,", 6) == 0;
        check_line(json, line);
    }
    assert_int_equal(totals, sizeof(struct hak_stats) / sizeof(uint64_t));
    assert_true(lines > totals + 15);
    // Each name of a figure is in the text too.
    assert_non_null(strstr(text, "from_current"));
    assert_non_null(strstr(text, "\nclasses\n"));
    assert_non_null(strstr(text, "\nheaps\n"));
    assert_non_null(strstr(text, "\nlocks\n"));
    assert_non_null(strstr(text, "\nretry_loops\n"));
    assert_non_null(strstr(text, "\nhits: at least\n"));
    hak_free(p);
}

static void foreign_sites_are_rows(void **state)
{
    static char csv[1 << 18];
    char on_stack[64];
    (void)state;
    if (!FOREIGN_FREES_COUNT)
        skip();
    for (size_t i = 0; i < opaque(3); i++)
        hak_free(opaque_pointer(on_stack));
    printed_by(hak_print_stats_csv, csv, sizeof csv);
    char *line = strstr(csv, "\nforeign,");
    assert_non_null(line);
    assert_non_null(strstr(line, ",frees,3\n"));
    assert_non_null(strstr(line, "+0x")); // the program, and where in it
}

static void ends(void **state)
{
    struct hak_lock_stats l;
    struct hak_retry_stats r;
    struct hak_heap_stats h;
    unsigned locks = 0, loops = 0;
    (void)state;
    while (hak_get_lock_stats(locks, &l))
        assert_true(l.name[0] != 0 && l.slept <= l.contended && locks++ < 100);
    while (hak_get_retry_stats(loops, &r))
        assert_true(r.name[0] != 0 && loops++ < 100);
    assert_int_equal(locks, 8);
    assert_int_equal(loops, 5);
    assert_false(hak_get_lock_stats(UINT_MAX, &l) || hak_get_retry_stats(UINT_MAX, &r) ||
                 hak_get_heap_stats(UINT_MAX, &h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends),
        cmocka_unit_test(remote_frees_are_sent_and_received),
        cmocka_unit_test(sums_of_heaps_and_classes_agree),
        cmocka_unit_test(a_child_goes_on_from_its_parents_figures),
        cmocka_unit_test(json_and_csv_say_the_same),
        cmocka_unit_test(foreign_sites_are_rows),
    };
    return cmocka_run_group_tests_name("api_reports", tests, NULL, NULL);
}
