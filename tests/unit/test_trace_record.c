// Tests of the recorder on programs: this one, started again with the recorder preloaded.
//
// Each scenario allocates a known number of blocks of sizes that nobody else asks for. The
// recordings it leaves must have exactly these, in an order that makes sense (no free missed, no
// free of an unknown block), and must replay.
#include "support.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../../trace/replay.h"
#include "../../trace/trace_file.h"

#define MARKED ((size_t)6007) // sizes of counted blocks begin here
#define FILES_MAX 64

// ---- scenarios: what the recorded program does ----

#define WORKERS 6
#define ROUNDS 3000
#define HAMMERED 20000
#define PLACES 64

static void *shared[PLACES]; // blocks on their way from thread to thread
static pthread_key_t late_key;
static pthread_barrier_t together; // all workers of a generation live at once
static bool in_step;

static void keep(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory"); // the compiler must not leave the allocation out
}

static void marked(size_t which, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *p = malloc(MARKED + which);
        keep(p);
        free(p);
    }
}

static void free_late(void *p)
{
    free(p);
    marked(2, 1);
}

// All threads want the same few addresses.
static void hammer(void)
{
    for (unsigned i = 0; i < HAMMERED; i++) {
        void *p = malloc(40);
        keep(p);
        if (i & 1)
            p = realloc(p, 100);
        free(p);
    }
}

static void *work(void *argument)
{
    unsigned random = (unsigned)(size_t)argument * 2654435761u + 1;
    pthread_setspecific(late_key, malloc(MARKED + 1));
    if (in_step) {
        pthread_barrier_wait(&together);
        hammer();
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        random = random * 1103515245 + 12345;
        size_t size = random >> 20 & 0x3ff;
        void *p = random & 1 << 19 ? calloc(1, size) : malloc(MARKED);
        if (random & 1 << 18)
            p = realloc(p, size * 3 + 1);
        free(__atomic_exchange_n(&shared[(random >> 10) % PLACES], p, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void run_workers(unsigned generations)
{
    pthread_key_create(&late_key, free_late);
    pthread_barrier_init(&together, NULL, WORKERS);
    in_step = true;
    for (unsigned g = 0; g < generations; g++) {
        pthread_t threads[WORKERS];
        for (size_t i = 0; i < WORKERS; i++)
            pthread_create(&threads[i], NULL, work, (void *)(g * WORKERS + i));
        for (size_t i = 0; i < WORKERS; i++)
            pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < PLACES; i++)
        free(shared[i]);
}

static void scenario_threads(void)
{
    run_workers(3);
}

static void *work_until_stopped(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE))
        work((void *)1);
    return NULL;
}

// The child frees what the parent allocated, and both go on.
static void scenario_fork(void)
{
    void *blocks[100];
    int stop = 0;
    pthread_t thread;
    pthread_key_create(&late_key, free_late);
    for (unsigned i = 0; i < 100; i++)
        blocks[i] = malloc(MARKED + 3);
    pthread_create(&thread, NULL, work_until_stopped, &stop);
    for (unsigned i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (unsigned b = 0; b < 100; b++)
                free(blocks[b]);
            marked(4, 50);
            exit(0);
        }
        waitpid(child, NULL, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

static void scenario_leaf(void)
{
    marked(5, 20);
}

static void scenario_exec(void)
{
    marked(6, 10);
    char *program = own_path();
    execl(program, program, "leaf", (char *)NULL);
}

static void scenario_killed(void)
{
    marked(7, 50000); // several windows of the file
    raise(SIGKILL);
}

static void scenario_descriptors(void)
{
    marked(8, 1);
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    int own = open("/dev/null", O_WRONLY);
    if (chdir("/") != 0 || own < 0)
        _exit(1);
    marked(8, 50000);
    if (fcntl(own, F_GETFD) < 0)
        _exit(1);
}

// A plugin in C++: its runtime is not in the program's search order.
static void scenario_cxx(void)
{
    void *runtime = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
    void *(*new)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "_Znwm");
    void (*delete)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "_ZdlPv");
    if (!runtime || !new || !delete)
        _exit(77);
    for (unsigned i = 0; i < 30; i++)
        delete (new (MARKED + 9));
}

static void scenario_full(void)
{
    struct rlimit limit = { 100000, 100000 };
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || !freopen("/dev/null", "w", stderr))
        _exit(1);
    marked(10, 50000);
}

static const struct scenario {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    { "threads", scenario_threads }, { "fork", scenario_fork },
    { "leaf", scenario_leaf },       { "exec", scenario_exec },
    { "killed", scenario_killed },   { "descriptors", scenario_descriptors },
    { "full", scenario_full },       { "cxx", scenario_cxx },
};

// ---- recording ----

struct recordings {
    char folder[64];
    int status; // of the program
    unsigned count;
    struct trace traces[FILES_MAX];
};

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

// The recorder lies in the folder that the instances' folders lie in.
static void find_recorder(char *path, size_t bytes)
{
    char *self = own_path();
    for (unsigned i = 0; i < 4; i++) {
        char *slash = strrchr(self, '/');
        assert_non_null(slash);
        *slash = 0;
    }
    assert_true((size_t)snprintf(path, bytes, "%s/libhakmem-record.so", self) < bytes);
    assert_int_equal(access(path, R_OK), 0);
}

static void load_folder(struct recordings *r)
{
    DIR *folder = opendir(r->folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[400];
        struct ops_error error;
        snprintf(path, sizeof path, "%s/%s", r->folder, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        assert_in_range(r->count, 0, FILES_MAX - 1);
        bool ok = trace_load(&r->traces[r->count++], path, false, &error);
        if (!ok)
            print_error("%s: %zu: %s\n", path, error.where, error.reason);
        assert_true(ok);
        assert_true(r->traces[r->count - 1].recorded);
        unlink(path);
    }
    closedir(folder);
    rmdir(r->folder);
}

// Skips the calling test where nothing can be preloaded.
static struct recordings *record(const char *scenario)
{
    char recorder[PATH_MAX + 32], prefix[80];
    if (sanitized())
        skip();
    struct recordings *r = calloc(1, sizeof *r);
    assert_non_null(r);
    strcpy(r->folder, "/tmp/hakmem-record-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    snprintf(prefix, sizeof prefix, "%s/x", r->folder);
    find_recorder(recorder, sizeof recorder);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("LD_PRELOAD", recorder, 1);
        setenv("HAKMEM_RECORD", prefix, 1);
        // One heap and no caches of threads: a freed address is another thread's in no time.
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1", 1);
        char *program = own_path();
        execl(program, program, scenario, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &r->status, 0), child);
    load_folder(r);
    return r;
}

static void release(struct recordings *r)
{
    for (unsigned i = 0; i < r->count; i++)
        trace_free(&r->traces[i]);
    free(r);
}

static size_t count_marked(const struct trace *trace, size_t which)
{
    size_t count = 0;
    for (size_t b = 0; b < trace->blocks.count; b++)
        count += trace->blocks.list[b].size == MARKED + which;
    return count;
}

static bool closed(const struct trace *trace)
{
    return trace->summary.header.flags & RECORDING_CLOSED;
}

static bool forked(const struct trace *trace)
{
    return trace->summary.header.flags & RECORDING_FORKED;
}

static void expect_sound(const struct trace *trace)
{
    assert_int_equal(trace->summary.frees_missed, 0);
    if (!forked(trace))
        assert_int_equal(trace->summary.frees_unknown, 0);
    for (unsigned real_threads = 0; real_threads < 2; real_threads++) {
        struct replay_options options = { .real_threads = real_threads,
                                          .fill = FILL_ENDS,
                                          .repeats = 1 };
        struct replay_result result;
        struct ops_error error;
        bool ok = trace_replay(trace, &options, &result, &error);
        if (!ok)
            print_error("operation %zu: %s\n", error.where, error.reason);
        assert_true(ok);
    }
}

// ---- tests ----

static void threads_are_linearised(void **state)
{
    (void)state;
    struct recordings *r = record("threads");
    assert_int_equal(r->status, 0);
    assert_int_equal(r->count, 1);
    const struct trace *trace = &r->traces[0];
    assert_true(closed(trace) && !forked(trace));
    assert_int_equal(count_marked(trace, 1), 3 * WORKERS);
    assert_int_equal(count_marked(trace, 2), 3 * WORKERS);
    // Each thread recorded its end behind all its handlers, and its number was used again.
    size_t exits = 0;
    for (size_t i = 0; i < trace->ops.count; i++)
        exits += trace->ops.list[i].kind == OP_EXIT;
    assert_int_equal(exits, 3 * WORKERS);
    assert_int_equal(trace->ops.header.threads, WORKERS + 1);
    size_t crossing = 0;
    for (size_t b = 0; b < trace->blocks.count; b++)
        crossing += trace->blocks.list[b].thread != trace->blocks.list[b].died_thread;
    assert_true(crossing > 100);
    expect_sound(trace);
    release(r);
}

static void children_of_fork_have_files_of_their_own(void **state)
{
    (void)state;
    struct recordings *r = record("fork");
    assert_int_equal(r->status, 0);
    assert_int_equal(r->count, 11);
    for (unsigned i = 0; i < r->count; i++) {
        const struct trace *trace = &r->traces[i];
        assert_true(closed(trace));
        assert_int_equal(count_marked(trace, 3), forked(trace) ? 0 : 100);
        assert_int_equal(count_marked(trace, 4), forked(trace) ? 50 : 0);
        if (forked(trace))
            assert_true(trace->summary.frees_unknown >= 100);
        expect_sound(trace);
    }
    release(r);
}

static void exec_begins_a_new_file(void **state)
{
    (void)state;
    struct recordings *r = record("exec");
    assert_int_equal(r->status, 0);
    assert_int_equal(r->count, 2);
    unsigned first = closed(&r->traces[0]);
    assert_false(closed(&r->traces[first]));
    assert_true(closed(&r->traces[!first]));
    assert_int_equal(count_marked(&r->traces[first], 6), 10);
    assert_int_equal(count_marked(&r->traces[!first], 5), 20);
    assert_int_equal(r->traces[0].summary.header.pid, r->traces[1].summary.header.pid);
    release(r);
}

static void nothing_is_lost_when_the_program_is_killed(void **state)
{
    (void)state;
    struct recordings *r = record("killed");
    assert_true(WIFSIGNALED(r->status) && WTERMSIG(r->status) == SIGKILL);
    assert_int_equal(r->count, 1);
    assert_false(closed(&r->traces[0]));
    assert_int_equal(count_marked(&r->traces[0], 7), 50000);
    expect_sound(&r->traces[0]);
    release(r);
}

static void closed_descriptors_and_other_folders_do_no_harm(void **state)
{
    (void)state;
    struct recordings *r = record("descriptors");
    assert_int_equal(r->status, 0);
    assert_int_equal(r->count, 1);
    assert_int_equal(count_marked(&r->traces[0], 8), 50001);
    release(r);
}

static void a_full_disk_stops_the_recording_only(void **state)
{
    (void)state;
    struct recordings *r = record("full");
    assert_int_equal(r->status, 0);
    assert_int_equal(r->count, 1);
    assert_false(closed(&r->traces[0]));
    assert_in_range(count_marked(&r->traces[0], 10), 1000, 49999);
    expect_sound(&r->traces[0]);
    release(r);
}

static void operators_of_a_plugin_are_recorded_once(void **state)
{
    (void)state;
    struct recordings *r = record("cxx");
    assert_int_equal(r->status, 0);
    assert_int_equal(r->count, 1);
    assert_int_equal(count_marked(&r->traces[0], 9), 30);
    expect_sound(&r->traces[0]);
    release(r);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            scenarios[i].run();
            return 0;
        }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_linearised),
        cmocka_unit_test(children_of_fork_have_files_of_their_own),
        cmocka_unit_test(exec_begins_a_new_file),
        cmocka_unit_test(nothing_is_lost_when_the_program_is_killed),
        cmocka_unit_test(closed_descriptors_and_other_folders_do_no_harm),
        cmocka_unit_test(a_full_disk_stops_the_recording_only),
        cmocka_unit_test(operators_of_a_plugin_are_recorded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
