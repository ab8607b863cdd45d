// calls: every function of the interface as the first and as the last call, everywhere.
//
//   function x place -> one process of this program, `--role FUNCTION@PLACE`
//
// places: main (first of the process), constructor (before main), thread (first of a thread, on a
// block of another), key-destructor (first and last call of its thread), key-destructor-late
// (after the allocator's own exit hook), atexit, destructor (after main), fork-child,
// library-constructor and library-destructor (dlopen, dlclose).
//
// Catches: initialisation that only malloc does, use of a heap that is gone, hooks in the wrong
// order. A cell passes when its process runs the function once, finds the right result, and exits
// with 0.
#define _GNU_SOURCE
#include "load.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum place {
    MAIN,
    CONSTRUCTOR,
    THREAD,
    KEY_DESTRUCTOR,
    KEY_DESTRUCTOR_LATE,
    ATEXIT,
    DESTRUCTOR,
    FORK_CHILD,
    LIBRARY_CONSTRUCTOR,
    LIBRARY_DESTRUCTOR,
    PLACES,
};
static const char *const place_names[PLACES] = {
    "main",   "constructor", "thread",     "key-destructor",      "key-destructor-late",
    "atexit", "destructor",  "fork-child", "library-constructor", "library-destructor"
};

// A block another thread took before; NULL where the function has to be the first of the process.
static unsigned char *older;
static const char *function; // of the cell
static enum place place;
static bool ran;
static pthread_key_t key;
static int key_rounds;

static _Noreturn void wrong(const char *what)
{
    dprintf(STDERR_FILENO, "FAIL calls: %s as a call at %s: %s\n", function, place_names[place],
            what);
    _exit(1);
}

static void expect(bool condition, const char *what)
{
    if (!condition)
        wrong(what);
}

// Uses fresh memory and frees it: the call after the first one must work too.
static void use(void *p, size_t n)
{
    expect(p != NULL, "NULL");
    memset(p, 0x5a, n);
    hak_free(p);
}

static void call_malloc(void)
{
    use(hak_malloc(100), 100);
}
static void call_malloc_large(void)
{
    use(hak_malloc(500 * KIB), 500 * KIB);
}
static void call_malloc_huge(void)
{
    use(hak_malloc(5 * MIB), 5 * MIB);
}
static void call_calloc(void)
{
    unsigned char *p = hak_calloc(10, 50);

    expect(p != NULL && p[0] == 0 && p[499] == 0, "not zero");
    use(p, 500);
}
static void call_realloc(void)
{
    unsigned char *p = hak_realloc(older, 3000);

    expect(p != NULL && (older == NULL || (p[0] == 0x77 && p[99] == 0x77)), "contents");
    older = NULL;
    use(p, 3000);
}
static void call_reallocarray(void)
{
    unsigned char *p = hak_reallocarray(older, 30, 100);

    expect(p != NULL && (older == NULL || p[99] == 0x77), "contents");
    older = NULL;
    use(p, 3000);
}
static void call_free(void)
{
    hak_free(older);
    older = NULL;
}
static void call_free_sized(void)
{
    hak_free_sized(older, 100);
    older = NULL;
}
static void call_free_aligned_sized(void)
{
    hak_free_aligned_sized(older, 16, 100);
    older = NULL;
}
static void call_aligned_alloc(void)
{
    void *p = hak_aligned_alloc(256, 1000);

    expect((uintptr_t)p % 256 == 0, "alignment");
    use(p, 1000);
}
static void call_memalign(void)
{
    void *p = hak_memalign(64 * KIB, 100);

    expect((uintptr_t)p % (64 * KIB) == 0, "alignment");
    use(p, 100);
}
static void call_posix_memalign(void)
{
    void *p = NULL;

    expect(hak_posix_memalign(&p, 128, 100) == 0 && (uintptr_t)p % 128 == 0, "alignment");
    use(p, 100);
}
static void call_valloc(void)
{
    use(hak_valloc(100), 100);
}
static void call_pvalloc(void)
{
    use(hak_pvalloc(100), 4096);
}
static void call_usable_size(void)
{
    size_t n = hak_malloc_usable_size(older);

    expect(older == NULL ? n == 0 : n >= 100, "usable size");
}
static void call_trim(void)
{
    int given = hak_malloc_trim(0);

    expect(given == 0 || given == 1, "result");
}
static void call_get_stats(void)
{
    struct hak_stats stats;

    if (LOAD_PEER)
        return;
    memset(&stats, 0xff, sizeof stats);
    hak_get_stats(&stats);
    expect(stats.live_bytes < (uint64_t)1 << 40 && stats.os_failures < 1000, "figures");
}
static void call_get_class_stats(void)
{
    struct hak_class_stats stats;

    if (LOAD_PEER)
        return;
    expect(hak_get_class_stats(0, &stats) && stats.block_bytes > 0, "class 0");
    expect(!hak_get_class_stats(100000, &stats), "a class that does not exist");
}
static void call_print_stats(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (!LOAD_PEER) {
        hak_print_stats(fd);
        hak_print_stats_json(fd);
        hak_print_foreign(fd);
    }
    close(fd);
}
static void call_audit(void)
{
    struct hak_audit_report audit;

    if (!LOAD_PEER && !hak_audit(&audit))
        wrong(audit.first_error);
}
static void call_version(void)
{
    if (!LOAD_PEER)
        expect(strchr(hak_version(), '.') != NULL, "version");
}
static void call_thread_flush(void)
{
    if (!LOAD_PEER)
        hak_thread_flush();
}

static const struct {
    const char *name;
    void (*call)(void);
} functions[] = {
    { "malloc", call_malloc },
    { "malloc-large", call_malloc_large },
    { "malloc-huge", call_malloc_huge },
    { "calloc", call_calloc },
    { "realloc", call_realloc },
    { "reallocarray", call_reallocarray },
    { "free", call_free },
    { "free_sized", call_free_sized },
    { "free_aligned_sized", call_free_aligned_sized },
    { "aligned_alloc", call_aligned_alloc },
    { "memalign", call_memalign },
    { "posix_memalign", call_posix_memalign },
    { "valloc", call_valloc },
    { "pvalloc", call_pvalloc },
    { "malloc_usable_size", call_usable_size },
    { "malloc_trim", call_trim },
    { "get_stats", call_get_stats },
    { "get_class_stats", call_get_class_stats },
    { "print_stats", call_print_stats },
    { "audit", call_audit },
    { "version", call_version },
    { "thread_flush", call_thread_flush },
};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

static void call_it(void)
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        if (strcmp(functions[i].name, function) == 0) {
            functions[i].call();
            ran = true;
            return;
        }
    }
    wrong("no such function");
}

// Reads FUNCTION@PLACE into `function` and `place`.
static bool read_cell(const char *text)
{
    static char name[64];
    const char *at = strchr(text, '@');

    if (at == NULL || (size_t)(at - text) >= sizeof name)
        return false;
    memcpy(name, text, (size_t)(at - text));
    function = name;
    for (unsigned i = 0; i < PLACES; i++) {
        if (strcmp(place_names[i], at + 1) == 0) {
            place = (enum place)i;
            return true;
        }
    }
    return false;
}

static void take_older(void)
{
    older = hak_malloc(100);
    expect(older != NULL, "NULL");
    memset(older, 0x77, 100);
}

static void on_key_destructor(void *arg)
{
    if (place == KEY_DESTRUCTOR_LATE && ++key_rounds < 3) {
        pthread_setspecific(key, arg);
        return;
    }
    call_it();
}

static void *cell_thread(void *arg)
{
    if (place == KEY_DESTRUCTOR_LATE)
        use(hak_malloc(50), 50); // the allocator knows the thread, and will see its end
    if (place == THREAD)
        call_it();
    else
        pthread_setspecific(key, &key);
    return arg;
}

// Runs before main, and before anything else of this program.
__attribute__((constructor)) static void at_constructor(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc == 4 && strcmp(argv[1], "calls") == 0 && strcmp(argv[2], "--role") == 0 &&
        read_cell(argv[3]) && place == CONSTRUCTOR)
        call_it();
}

static void check_ran(void)
{
    if (!ran)
        wrong("it did not run");
}

__attribute__((destructor)) static void at_destructor(void)
{
    if (function != NULL && place == DESTRUCTOR)
        call_it();
    if (function != NULL)
        check_ran();
}

static void at_exit(void)
{
    call_it();
}

// Called by calls_library.c from its constructor and its destructor.
__attribute__((visibility("default"))) void stress_library_event(bool constructor);
void stress_library_event(bool constructor)
{
    if (place == (constructor ? LIBRARY_CONSTRUCTOR : LIBRARY_DESTRUCTOR))
        call_it();
}

static void load_library(void)
{
    char path[4200];
    void *library;

    snprintf(path, sizeof path, "%s_calls.so", load_self());
    library = dlopen(path, RTLD_NOW);
    if (library == NULL)
        wrong(dlerror());
    dlclose(library);
}

static void in_fork_child(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        call_it();
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        wrong("the child failed");
    ran = true;
}

static int calls_role(const char *text)
{
    if (!read_cell(text)) {
        fprintf(stderr, "stress calls: no such cell: \"%s\"\n", text);
        return 2;
    }
    switch (place) {
    case MAIN:
        call_it();
        break;
    case THREAD:
    case KEY_DESTRUCTOR:
    case KEY_DESTRUCTOR_LATE:
        take_older();
        pthread_key_create(&key, on_key_destructor);
        pthread_join(load_thread_start(cell_thread, NULL), NULL);
        break;
    case ATEXIT:
        atexit(at_exit);
        break;
    case FORK_CHILD:
        in_fork_child();
        break;
    case LIBRARY_CONSTRUCTOR:
    case LIBRARY_DESTRUCTOR:
        load_library();
        break;
    default:
        break;
    }
    return 0;
}

struct checker {
    struct run *run;
    unsigned index;
};

static void *checker_thread(void *arg)
{
    struct checker *c = arg;
    struct worker *w = worker_begin(c->run, "calls", c->index);

    for (size_t i = c->index; i < FUNCTIONS * PLACES; i += c->run->threads) {
        char cell[96];
        int status;

        snprintf(cell, sizeof cell, "%s@%s", functions[i / PLACES].name, place_names[i % PLACES]);
        status = load_spawn_role("calls", cell);
        if (status != 0)
            load_fail(w, "`stress calls --role %s` ended with status %#x", cell, status);
        atomic_fetch_add(&c->run->count, 1);
        worker_step(w);
    }
    worker_end(w);
    return NULL;
}

static void calls(struct run *r)
{
    struct checker *checkers = load_books(r->threads, sizeof *checkers);

    for (unsigned i = 0; i < r->threads; i++)
        checkers[i] = (struct checker){ r, i };
    load_threads_run(r->threads, checker_thread, checkers, sizeof *checkers);
    load_note(r, ", %llu cells: %zu functions at %d places",
              (unsigned long long)atomic_load(&r->count), FUNCTIONS, PLACES);
    free(checkers);
}

const struct load load_calls = {
    .name = "calls",
    .help = "each function as the first and the last call of processes, threads, libraries",
    .arguments = "",
    .threads = 4,
    .run = calls,
    .role = calls_role,
};
