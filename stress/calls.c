// calls: every function of the surface as the first and as the last call, everywhere.
//
//   function x place x [a block is there] -> a process of this program, `--role FUNCTION@PLACE[+]`
//
// Without `+` the call is the first of its process. With it main has taken a block before, which
// the call frees, resizes or measures. Functions: functions.h; of the flavour peer, under
// LD_PRELOAD, those of the shared library (make stress-preload).
// Places: main, constructor (before main), thread (first of a thread), key-destructor (first and
// last call of its thread), key-destructor-late (after the allocator's own exit hook), atexit,
// destructor (after main), fork-child, library-constructor and library-destructor (dlopen,
// dlclose).
//
// Catches: initialisation that only malloc does, use of a heap that is gone, hooks in the wrong
// order. A cell passes when its process runs the function once, finds the right result, and exits
// with 0.
#define _GNU_SOURCE
#include "load.h"

#include "functions.h"

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

unsigned char *older;
static const struct function *function; // of the cell
static enum place place;
static bool block_is_there; // `+`
static bool ran;
static pthread_key_t key;
static int key_rounds;

static _Noreturn void wrong(const char *what)
{
    dprintf(STDERR_FILENO, "FAIL calls: %s as a call at %s: %s\n", function->name,
            place_names[place], what);
    _exit(1);
}

void function_expect(bool condition, const char *what)
{
    if (!condition)
        wrong(what);
}

static void call_it(void)
{
    function->call();
    ran = true;
}

static const struct function *find(const struct function *table, const char *name, size_t length)
{
    for (; table->name != NULL; table++) {
        if (strlen(table->name) == length && memcmp(table->name, name, length) == 0)
            return table;
    }
    return NULL;
}

// Reads FUNCTION@PLACE or FUNCTION@PLACE+.
static bool read_cell(const char *text)
{
    const char *at = strchr(text, '@');
    size_t length;

    if (at == NULL)
        return false;
    function = find(functions_common, text, (size_t)(at - text));
    if (function == NULL)
        function = find(functions_own, text, (size_t)(at - text));
    length = strcspn(at + 1, "+");
    block_is_there = at[1 + length] != '\0';
    for (unsigned i = 0; i < PLACES && function != NULL; i++) {
        if (strlen(place_names[i]) == length && memcmp(place_names[i], at + 1, length) == 0) {
            place = (enum place)i;
            return true;
        }
    }
    return false;
}

static void take_older(void)
{
    if (!block_is_there)
        return;
    older = hak_malloc(OLDER_BYTES);
    function_expect(older != NULL, "NULL");
    memset(older, 0x77, OLDER_BYTES);
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
        function_use(hak_malloc(50), 50); // the allocator knows the thread, and will see its end
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
    if (argc >= 4 && strcmp(argv[1], "calls") == 0 && strcmp(argv[2], "--role") == 0 &&
        read_cell(argv[3]) && place == CONSTRUCTOR) {
        take_older();
        call_it();
    }
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

static int calls_role(struct run *r, const char *text)
{
    (void)r;
    if (!read_cell(text)) {
        fprintf(stderr, "stress calls: no such cell: \"%s\"\n", text);
        return 2;
    }
    if (place != CONSTRUCTOR)
        take_older();
    switch (place) {
    case MAIN:
        call_it();
        break;
    case THREAD:
    case KEY_DESTRUCTOR:
    case KEY_DESTRUCTOR_LATE:
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

static void check_cell(struct worker *w, const struct function *f, size_t i)
{
    char cell[128];
    int status;

    snprintf(cell, sizeof cell, "%s@%s%s", f->name, place_names[i / 2], i % 2 == 0 ? "" : "+");
    status = load_spawn_role(w->run, "calls", cell);
    if (status != 0)
        load_fail(w, "`stress calls --role %s` ended with status %#x", cell, status);
    atomic_fetch_add(&w->run->count, 1);
    worker_step(w);
}

static size_t count(const struct function *table)
{
    size_t n = 0;

    while (table[n].name != NULL)
        n++;
    return n;
}

static void *checker_thread(void *arg)
{
    struct checker *c = arg;
    struct worker *w = worker_begin(c->run, "calls", c->index);
    size_t common = count(functions_common);
    size_t cells = (common + count(functions_own)) * PLACES * 2;

    for (size_t i = c->index; i < cells; i += c->run->threads) {
        size_t f = i / PLACES / 2;

        check_cell(w, f < common ? &functions_common[f] : &functions_own[f - common],
                   i % (PLACES * 2));
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
    load_note(r, ", %llu cells: %zu functions at %d places, first or behind another call",
              (unsigned long long)atomic_load(&r->count),
              count(functions_common) + count(functions_own), PLACES);
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
