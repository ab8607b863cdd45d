// test_heapless.c: more threads than heaps. A thread that finds the table of heaps full gets no
// memory, and can free what others allocated.
#include "api.h"

#include <pthread.h>

#include "config.h"

enum { WITHOUT_LEGAL, WITHOUT_LEGAL_PROFILED, WITHOUT_TWICE, WITHOUT_INTERIOR };

static pthread_mutex_t until_all_are_there = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t arrived;
static bool got_memory;
static void *of_others[3];

// Lives on with its heap, or says that it got none.
static void *take_a_heap(void *argument)
{
    void *p = hak_malloc(16);
    got_memory = p != NULL;
    pthread_barrier_wait(&arrived);
    pthread_mutex_lock(&until_all_are_there);
    pthread_mutex_unlock(&until_all_are_there);
    hak_free(p);
    return argument;
}

static void *live_without_a_heap(void *argument)
{
    unsigned how = *(unsigned *)argument;
    struct hak_audit_report audit;
    errno = 0;
    CHILD_CHECK(hak_malloc(100) == NULL && errno == ENOMEM);
    errno = 0;
    CHILD_CHECK(hak_memalign(64, 100) == NULL && errno == ENOMEM);
    errno = 0;
    CHILD_CHECK(hak_malloc(MIB(1)) == NULL && errno == ENOMEM);
    errno = 0;
    CHILD_CHECK(hak_realloc(of_others[0], GROWN_SIZE_MIN + 1) == NULL && errno == ENOMEM);
    CHILD_CHECK(hak_malloc_trim(0) == 0);
    if (how == WITHOUT_INTERIOR)
        hak_free((char *)of_others[0] + 16);
    for (unsigned i = 0; i < COUNT_OF(of_others); i++)
        hak_free(of_others[i]);
    if (how == WITHOUT_TWICE)
        hak_free(of_others[0]);
    hak_thread_flush();
    CHILD_CHECK(hak_audit(&audit));
    return argument;
}

static unsigned how_without;

// The report in text shows the first of many heaps, and says how many more there are.
static void check_report(void)
{
    static char text[1 << 18];
    struct hak_stats stats;
    unsigned long shown = 0, more = 0;
    FILE *file = tmpfile();
    CHILD_CHECK(file != NULL);
    hak_print_stats(fileno(file));
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    hak_get_stats(&stats);
    char *row = strstr(text, "\nheaps\n"), *rest = strstr(text, "\nheaps not shown: ");
    CHILD_CHECK(row != NULL && rest != NULL && row < rest);
    CHILD_CHECK(sscanf(rest, "\nheaps not shown: %lu (JSON and CSV have all)", &more) == 1);
    for (row += strlen("\nheaps\n"); row[1] != '\n'; row = strchr(row + 1, '\n'))
        shown++;
    CHILD_CHECK(more != 0 && shown - 1 + more == stats.heaps); // a line of names comes first
}

static void fill_the_table_of_heaps(void)
{
    static pthread_t threads[HEAPS_MAX + 1];
    pthread_attr_t small;
    unsigned count = 0;
    if (how_without == WITHOUT_LEGAL_PROFILED)
        setenv("HAKMEM_OPTIONS", "profile=1000", 1);
    CHILD_CHECK(pthread_barrier_init(&arrived, NULL, 2) == 0);
    CHILD_CHECK(pthread_attr_init(&small) == 0);
    CHILD_CHECK(pthread_attr_setstacksize(&small, KIB(64)) == 0);
    const size_t sizes[] = { 200, MIB(1), MIB(9) };
    for (unsigned i = 0; i < COUNT_OF(sizes); i++)
        CHILD_CHECK((of_others[i] = hak_malloc(sizes[i])) != NULL);
    pthread_mutex_lock(&until_all_are_there);
    do {
        CHILD_CHECK(count < COUNT_OF(threads));
        CHILD_CHECK(pthread_create(&threads[count++], &small, take_a_heap, NULL) == 0);
        pthread_barrier_wait(&arrived);
    } while (got_memory);
    pthread_t last;
    CHILD_CHECK(pthread_create(&last, &small, live_without_a_heap, &how_without) == 0);
    pthread_join(last, NULL);
    if (how_without == WITHOUT_LEGAL)
        check_report();
    pthread_mutex_unlock(&until_all_are_there);
    while (count > 0)
        pthread_join(threads[--count], NULL);
    struct hak_audit_report audit;
    CHILD_CHECK(hak_audit(&audit));
}

static void threads_without_a_heap(void **state)
{
    (void)state;
    if (!GEOMETRY_SMALL || SANITIZED || under_a_tool()) // 65,536 threads, or a stack of theirs
        skip();
    for (how_without = WITHOUT_LEGAL; how_without <= WITHOUT_LEGAL_PROFILED; how_without++)
        assert_exited_0(run_child(fill_the_table_of_heaps));
    for (how_without = WITHOUT_TWICE; how_without <= WITHOUT_INTERIOR; how_without++) {
        int status = run_child(fill_the_table_of_heaps);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_without_a_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
