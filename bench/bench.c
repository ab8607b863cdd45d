// bench.c: options, clocks and the report of the benchmark programs. See bench.h.
#define _GNU_SOURCE
#include "bench.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_MAX 16
#define THREADS_MAX 4096

void bench_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static __attribute__((noreturn)) void usage(const struct bench_option *options, size_t count,
                                            int rc)
{
    FILE *out = rc ? stderr : stdout;
    fprintf(out, "usage: %s [--option=N]...\n", program_invocation_short_name);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  --%-12s %s (%" PRIu64 " to %" PRIu64 ", default %" PRIu64 ")\n",
                options[i].name, options[i].help, options[i].min, options[i].max,
                *options[i].value);
    fprintf(out, "  --%-12s %s\n", "require=SO", "fail unless malloc comes from this library");
    exit(rc);
}

static uint64_t parse_number(const struct bench_option *option, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (*end == 'k' || *end == 'm')
        shift = *end++ == 'k' ? 10 : 20;
    if (errno || end == text || *end || text[0] == '-' || n > UINT64_MAX >> shift ||
        n << shift < option->min || n << shift > option->max) {
        fprintf(stderr, "%s: --%s=%s: a number from %" PRIu64 " to %" PRIu64 " is needed\n",
                program_invocation_short_name, option->name, text, option->min, option->max);
        exit(2);
    }
    return n << shift;
}

// LD_PRELOAD only warns when it cannot load a library, and then the wrong allocator is measured.
static void require_allocator(const char *path)
{
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    Dl_info info;
    char wanted[4096], found[4096];
    if (!realpath(path, wanted)) {
        fprintf(stderr, "%s: --require=%s: %s\n", program_invocation_short_name, path,
                strerror(errno));
        exit(2);
    }
    if (function && dladdr(function, &info) && info.dli_fname && realpath(info.dli_fname, found) &&
        strcmp(wanted, found) == 0)
        return;
    fprintf(stderr, "%s: malloc is not from %s\n", program_invocation_short_name, wanted);
    exit(3);
}

static void free_by_address(void *block, size_t n)
{
    (void)n;
    free(block);
}

void (*bench_free_sized)(void *, size_t) = free_by_address;

static void find_free_sized(void)
{
    void *function = dlsym(RTLD_DEFAULT, "free_sized");
    if (function)
        memcpy(&bench_free_sized, &function, sizeof function);
}

void bench_options(int argc, char **argv, const struct bench_option *options, size_t count)
{
    struct option table[OPTIONS_MAX + 3] = { { 0 } };
    find_free_sized();
    if (count > OPTIONS_MAX)
        bench_die("more than %d options", OPTIONS_MAX);
    for (size_t i = 0; i < count; i++)
        table[i] = (struct option){ options[i].name, required_argument, NULL, (int)i };
    table[count] = (struct option){ "require", required_argument, NULL, 'r' + 256 };
    table[count + 1] = (struct option){ "help", no_argument, NULL, 'h' + 256 };
    int found;
    while ((found = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (found == 'r' + 256)
            require_allocator(optarg);
        else if (found == 'h' + 256)
            usage(options, count, 0);
        else if (found == '?')
            usage(options, count, 2);
        else
            *options[found].value = parse_number(&options[found], optarg);
    }
    if (optind != argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\"\n", program_invocation_short_name,
                argv[optind]);
        exit(2);
    }
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t))
        bench_die("clock_gettime: %s", strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_begin(struct bench_run *run)
{
    run->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run->wall_ns = clock_ns(CLOCK_MONOTONIC);
}

void bench_end(struct bench_run *run)
{
    run->wall_ns = clock_ns(CLOCK_MONOTONIC) - run->wall_ns;
    run->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - run->cpu_ns;
}

uint64_t bench_status_kb(const char *field)
{
    char text[8192];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        bench_die("/proc/self/status: %s", strerror(errno));
    close(fd);
    text[n] = 0;
    const char *line = strstr(text, field);
    if (!line)
        bench_die("/proc/self/status has no %s", field);
    return strtoull(line + strlen(field), NULL, 10);
}

void bench_report(const struct bench_run *run, const char *name, uint64_t ops, uint64_t checksum)
{
    printf("{\"name\":\"%s\",\"ops\":%" PRIu64 ",\"seconds\":%.6f,\"cpu\":%.6f,\"rss_kb\":%" PRIu64
           ",\"checksum\":\"%016" PRIx64 "\"}\n",
           name, ops, (double)run->wall_ns * 1e-9, (double)run->cpu_ns * 1e-9,
           bench_status_kb("VmHWM:"), checksum);
    if (fflush(stdout))
        bench_die("stdout: %s", strerror(errno));
}

void *bench_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("mmap of %zu bytes: %s", bytes, strerror(errno));
    return p;
}

void bench_threads(unsigned count, void *(*body)(void *), void *args, size_t arg_bytes)
{
    pthread_t threads[THREADS_MAX];
    if (count > THREADS_MAX)
        bench_die("more than %d threads", THREADS_MAX);
    for (unsigned i = 0; i < count; i++) {
        int error = pthread_create(&threads[i], NULL, body, (char *)args + i * arg_bytes);
        if (error)
            bench_die("pthread_create: %s", strerror(error));
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}
