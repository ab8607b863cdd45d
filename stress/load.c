// load.c: the program `stress LOAD [options] [arguments]`: options, the run's clock, the verdict.
//
// One program holds all loads, so that soak can mix them. A run is: parse, start the watchdog, run
// the load, wait until only the main thread and the watchdog are left, audit the heap (nothing may
// be live: each load gives everything back), print one line that begins with PASS.
// Everything else ends in load_fail (watch.c) with a line that begins with FAIL, and SIGABRT.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

const struct load *const loads[] = {
    &load_larson, &load_xfree, &load_threads, &load_fork,  &load_realloc, &load_align, &load_huge,
    &load_oom,    &load_frag,  &load_reuse,   &load_purge, &load_soak,    &load_calls, NULL,
};

enum {
    THREADS_OF_HARNESS = 2, // main and the watchdog
    WAIT_STILL_STALLS = 4,  // a process that uses no processor time for so many stall times hangs
    WAIT_CPU_STALLS = 10,   // and so does one that uses so much of it
};

bool load_over(struct run *r)
{
    uint64_t deadline = atomic_load_explicit(&r->deadline_ns, memory_order_relaxed);

    if (atomic_load_explicit(&r->stopped, memory_order_relaxed))
        return true;
    if (r->count_max != 0 ? atomic_load_explicit(&r->count, memory_order_relaxed) < r->count_max
                          : load_now_ns() < deadline)
        return false;
    atomic_store_explicit(&r->stopped, true, memory_order_relaxed);
    return true;
}

void load_clock_start(struct run *r)
{
    atomic_store(&r->deadline_ns, load_now_ns() + (uint64_t)(r->seconds * 1e9));
    atomic_store(&r->stopped, false);
}

void load_note(struct run *r, const char *format, ...)
{
    size_t used = strlen(r->note);
    va_list args;

    va_start(args, format);
    vsnprintf(r->note + used, sizeof r->note - used, format, args);
    va_end(args);
}

size_t rng_log_between(struct rng *r, size_t lo, size_t hi)
{
    unsigned steps = (unsigned)(__builtin_clzll(lo) - __builtin_clzll(hi));
    size_t base = lo << rng_below(r, steps + 1);
    size_t n = base + (size_t)((double)base * ((double)(rng_next(r) >> 40) / (double)(1 << 24)));

    return n < lo ? lo : n > hi ? hi : n;
}

void *load_books(size_t count, size_t size)
{
    void *p = calloc(count, size);

    if (p == NULL)
        load_fail(NULL, "no memory for the books of the load: %zu x %zu bytes", count, size);
    watch_allow(count * size);
    return p;
}

pthread_t load_thread_start(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    int error;

    // A burst of ends and starts can meet a limit of the kernel for a moment.
    for (int tries = 0;
         (error = pthread_create(&thread, NULL, body, arg)) == EAGAIN && tries < 1000; tries++)
        usleep(1000);
    if (error != 0)
        load_fail(NULL, "pthread_create: %s", strerror(error));
    return thread;
}

void load_threads_run(unsigned n, void *(*body)(void *), void *args, size_t size)
{
    pthread_t *threads = load_books(n, sizeof *threads);

    for (unsigned i = 0; i < n; i++)
        threads[i] = load_thread_start(body, (char *)args + i * size);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

void load_audit(const char *when, uint64_t live)
{
    struct hak_audit_report audit;

    if (LOAD_PEER)
        return;
    if (!hak_audit(&audit))
        load_fail(NULL, "%s: the audit found %llu errors: %s", when,
                  (unsigned long long)audit.errors, audit.first_error);
    if (audit.live + audit.large + audit.huge != live)
        load_fail(NULL,
                  "%s: %llu + %llu large + %llu huge blocks are handed out; the load holds %llu",
                  when, (unsigned long long)audit.live, (unsigned long long)audit.large,
                  (unsigned long long)audit.huge, (unsigned long long)live);
    if (audit.capacity != audit.live + audit.cached + audit.free + audit.remote)
        load_fail(NULL, "%s: of %llu blocks are %llu live, %llu cached, %llu free, %llu remote",
                  when, (unsigned long long)audit.capacity, (unsigned long long)audit.live,
                  (unsigned long long)audit.cached, (unsigned long long)audit.free,
                  (unsigned long long)audit.remote);
}

static char self[4096];

static void find_self(void)
{
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0)
        load_fail(NULL, "cannot read /proc/self/exe: %s", strerror(errno));
}

const char *load_self(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_self);
    return self;
}

// Processor time of another process; what it was if that has ended meanwhile.
static uint64_t cpu_ns_of(pid_t pid, uint64_t otherwise)
{
    clockid_t clock;
    struct timespec t;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return otherwise;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void give_up(pid_t pid, const char *what, const char *how)
{
    kill(pid, WATCH_SIGNAL);
    sleep(1);
    kill(pid, SIGABRT);
    load_fail(NULL, "%s %s", what, how);
}

// On a busy machine a process may take long: what it does is judged by its processor time.
int load_wait(pid_t pid, const char *what)
{
    uint64_t stall_ns = (uint64_t)(watch.stall_seconds * 1e9);
    uint64_t moved = load_now_ns();
    uint64_t cpu_ns = 0;

    for (;;) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        uint64_t now = load_now_ns();
        uint64_t cpu_now_ns = cpu_ns_of(pid, cpu_ns);

        if (got == pid)
            return status;
        if (got < 0 && errno != EINTR)
            load_fail(NULL, "waitpid: %s", strerror(errno));
        if (cpu_now_ns != cpu_ns)
            moved = now;
        cpu_ns = cpu_now_ns;
        if (now - moved > WAIT_STILL_STALLS * stall_ns)
            give_up(pid, what, "stands still");
        if (cpu_ns > WAIT_CPU_STALLS * stall_ns)
            give_up(pid, what, "does not end");
        usleep(500);
    }
}

int load_spawn(char *const argv[])
{
    char what[160];
    pid_t pid;
    int error = posix_spawn(&pid, load_self(), NULL, NULL, argv, environ);

    if (error != 0)
        load_fail(NULL, "cannot start this program again: %s", strerror(error));
    snprintf(what, sizeof what, "`stress %s %s %s`", argv[1], argv[2] != NULL ? argv[2] : "",
             argv[2] != NULL && argv[3] != NULL ? argv[3] : "");
    return load_wait(pid, what);
}

char *load_seed_text(uint64_t seed, char *text)
{
    snprintf(text, LOAD_SEED_TEXT_BYTES, "%llu", (unsigned long long)seed);
    return text;
}

int load_spawn_role(const struct run *r, const char *name, const char *text)
{
    char seed[LOAD_SEED_TEXT_BYTES];
    char *argv[] = { (char *)"stress",
                     (char *)name,
                     (char *)"--role",
                     (char *)text,
                     (char *)"--seed",
                     load_seed_text(r->seed, seed),
                     NULL };

    return load_spawn(argv);
}

size_t load_memory_bytes(void)
{
    struct hak_stats stats;

    if (LOAD_PEER || !LOAD_SANITIZER)
        return load_rss_bytes();
    hak_get_stats(&stats);
    return stats.committed_bytes + stats.metadata_bytes;
}

// ---- the program ----

static void usage(FILE *out)
{
    fprintf(out,
            "usage: stress LOAD [options] [arguments of the load]\n"
            "  --threads N       threads of the load\n"
            "  --seconds S       how long (default 10)\n"
            "  --seed N          random numbers (default: from the clock; always printed)\n"
            "  --count N         stop after N lives, forks or failures instead of after S seconds\n"
            "  --stall S         no progress for so long is a hang\n"
            "  --rss-factor X    RSS may be X times the live bytes at their peak, plus\n"
            "  --rss-slack N     so many MiB\n"
            "  --csv FILE        soak: samples of memory and throughput\n"
            "  --list            the loads\n");
}

static void list(void)
{
    for (const struct load *const *l = loads; *l != NULL; l++)
        printf("%-8s %s%s%s\n", (*l)->name, (*l)->help,
               (*l)->arguments[0] != '\0' ? "\n           arguments: " : "", (*l)->arguments);
}

static _Noreturn void misuse(const char *what, const char *value)
{
    fprintf(stderr, "stress: %s: \"%s\"\n", what, value);
    usage(stderr);
    exit(2);
}

static double number(const char *option, const char *text, double min, double max)
{
    char *end;
    double x;

    errno = 0;
    x = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(x >= min && x <= max)) {
        fprintf(stderr, "stress: --%s takes a number from %g to %g, not \"%s\"\n", option, min, max,
                text);
        exit(2);
    }
    return x;
}

static uint64_t seed_number(const char *text)
{
    char *end;
    unsigned long long x;

    errno = 0;
    x = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-')
        misuse("not a seed", text);
    return x;
}

// Fills `r` from the command line; `role` is set when only a part of the load is asked for.
static void parse(int argc, char **argv, struct run *r, const char **role)
{
    enum { THREADS = 256, SECONDS, SEED, COUNT, STALL, FACTOR, SLACK, CSV, ROLE, LIST, HELP };
    static const struct option options[] = {
        { "threads", 1, NULL, THREADS }, { "seconds", 1, NULL, SECONDS },
        { "seed", 1, NULL, SEED },       { "count", 1, NULL, COUNT },
        { "stall", 1, NULL, STALL },     { "rss-factor", 1, NULL, FACTOR },
        { "rss-slack", 1, NULL, SLACK }, { "csv", 1, NULL, CSV },
        { "role", 1, NULL, ROLE },       { "list", 0, NULL, LIST },
        { "help", 0, NULL, HELP },       { 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case THREADS:
            r->threads = (unsigned)number("threads", optarg, 1, 1024);
            break;
        case SECONDS:
            r->seconds = number("seconds", optarg, 0.1, 1e6);
            break;
        case SEED:
            r->seed = seed_number(optarg);
            break;
        case COUNT:
            r->count_max = (uint64_t)number("count", optarg, 1, 1e12);
            break;
        case STALL:
            watch.stall_seconds = number("stall", optarg, 1, 1e6);
            break;
        case FACTOR:
            watch.rss_factor = number("rss-factor", optarg, 1, 1e6);
            break;
        case SLACK:
            watch.rss_slack_bytes = (size_t)number("rss-slack", optarg, 0, 1e6) * MIB;
            break;
        case CSV:
            r->csv = optarg;
            break;
        case ROLE:
            *role = optarg;
            break;
        case LIST:
            list();
            exit(0);
        case HELP:
            usage(stdout);
            list();
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (optind >= argc)
        misuse("name a load (see --list)", "");
    for (const struct load *const *l = loads; *l != NULL; l++) {
        if (strcmp((*l)->name, argv[optind]) == 0)
            r->load = *l;
    }
    if (r->load == NULL)
        misuse("no such load (see --list)", argv[optind]);
    r->argc = argc - optind - 1;
    r->argv = argv + optind + 1;
    if (r->argc > 0 && r->load->arguments[0] == '\0')
        misuse("this load takes no arguments", r->argv[0]);
}

static void print_verdict(const struct run *r, double seconds)
{
    uint64_t ops = atomic_load(&r->ops);

    printf("PASS %s: seed %llu, %u threads, %.1f s, %llu calls, %.2f M/s, ", r->load->name,
           (unsigned long long)r->seed, r->threads, seconds, (unsigned long long)ops,
           (double)ops / seconds / 1e6);
    printf("peak live %zu MiB, peak %s %zu MiB%s%s%s\n", watch_live_peak() / MIB, LOAD_MEMORY,
           watch_memory_peak() / MIB, LOAD_MEMORY_JUDGED ? "" : " (not judged)",
           LOAD_PEER ? ", no audit (peer)" : ", audit clean", r->note);
}

int main(int argc, char **argv)
{
    static struct run r; // its address stays known to threads that outlive main's frame
    const char *role = NULL;
    uint64_t start;
    struct timespec clock;

    clock_gettime(CLOCK_REALTIME, &clock);
    r.seconds = 10;
    r.alone = true;
    r.seed = (uint64_t)clock.tv_sec * 1000003u + (uint64_t)clock.tv_nsec;
    if (LOAD_SANITIZER)
        watch.stall_seconds = 120;
    parse(argc, argv, &r, &role);
    if (role != NULL) {
        if (r.load->role == NULL)
            misuse("this load has no roles", role);
        return r.load->role(&r, role);
    }
    if (r.threads == 0)
        r.threads = r.load->threads;
    fprintf(stderr, "stress %s: seed %llu, %u threads, %s\n", r.load->name,
            (unsigned long long)r.seed, r.threads, LOAD_PEER ? "standard names" : hak_version());
    watch_start(&r);
    start = load_now_ns();
    load_clock_start(&r);
    r.load->run(&r);
    load_wait_threads(THREADS_OF_HARNESS + (LOAD_TSAN ? 1 : 0)); // TSan runs a thread of its own
    load_audit("at the end", 0);
    watch_end();
    print_verdict(&r, (double)(load_now_ns() - start) / 1e9);
    return 0;
}
