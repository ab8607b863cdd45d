// replay_process.c: the exec of a replay, and what comes after it.
//
// Arguments of the new process: the program, replay_process_name, the plan's descriptor, "json" or
// "text", the trace's path, the library that must have malloc or "", the file of samples or "".
#define _GNU_SOURCE
#include "replay_process.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay_plan.h"

const char replay_process_name[] = "carry-out-plan";

enum { ARGUMENT_PLAN = 2, ARGUMENT_FORM, ARGUMENT_PATH, ARGUMENT_LIBRARY, ARGUMENT_TIMELINE };

static void refuse(struct ops_error *error, const char *what, const char *path, const char *why)
{
    snprintf(error->reason, sizeof error->reason, "%s %.100s: %s", what, path, why);
}

void replay_process_become(const struct replay_request *request, const struct trace *trace,
                           struct ops_error *error)
{
    char number[16], library[PATH_MAX] = "";
    *error = (struct ops_error){ 0 };
    if (request->preload && !realpath(request->preload, library)) {
        refuse(error, "cannot preload", request->preload, strerror(errno));
        return;
    }
    if (library[0] && setenv("LD_PRELOAD", library, 1) != 0) {
        refuse(error, "cannot preload", library, strerror(errno));
        return;
    }
    int fd = replay_plan_make(trace, &request->options, error);
    if (fd < 0)
        return;
    snprintf(number, sizeof number, "%d", fd);
    char *arguments[] = {
        request->program,
        (char *)replay_process_name,
        number,
        (char *)(request->json ? "json" : "text"),
        request->path,
        library,
        (char *)(request->timeline ? request->timeline : ""),
        NULL,
    };
    execv("/proc/self/exe", arguments);
    refuse(error, "cannot start", "anew", strerror(errno));
}

// LD_PRELOAD only warns of what it cannot load.
static bool malloc_is_of(const char *library)
{
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    Dl_info info;
    char found[PATH_MAX];
    return function && dladdr(function, &info) && info.dli_fname &&
           realpath(info.dli_fname, found) && strcmp(found, library) == 0;
}

static bool write_timeline(const struct replay_result *result, const char *path)
{
    FILE *out = fopen(path, "we");
    if (!out)
        return false;
    fprintf(out, "operation,live_bytes,rss_kib\n");
    for (uint32_t i = 0; i < result->samples_count; i++)
        fprintf(out, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", result->samples[i].operation,
                result->samples[i].live_bytes, result->samples[i].rss_kib);
    bool ok = ferror(out) == 0;
    return fclose(out) == 0 && ok;
}

static void print_result(const struct replay_result *result, const char *path, bool json)
{
    double rate = (double)result->ops / result->seconds * 1e-6;
    if (json)
        printf("{\"file\": \"%s\", \"operations\": %" PRIu64 ", \"seconds\": %.6f, "
               "\"cpu_seconds\": %.6f, \"million_operations_per_second\": %.2f, "
               "\"rss_peak_kib\": %" PRIu64 ", \"rss_before_kib\": %" PRIu64 "}\n",
               path, result->ops, result->seconds, result->cpu_seconds, rate, result->rss_peak_kib,
               result->rss_before_kib);
    else
        printf("%s: %" PRIu64 " operations, %.6f s, %.2f M operations/s, peak %" PRIu64
               " KiB (%" PRIu64 " KiB before)\n",
               path, result->ops, result->seconds, rate, result->rss_peak_kib,
               result->rss_before_kib);
}

int replay_process_run(int argc, char **argv)
{
    struct replay_result result;
    struct ops_error error;
    char *end;
    if (argc != ARGUMENT_TIMELINE + 1) {
        fprintf(stderr, "hakmem-trace: %s is for hakmem-trace itself\n", argv[1]);
        return 2;
    }
    const char *path = argv[ARGUMENT_PATH], *library = argv[ARGUMENT_LIBRARY];
    const char *timeline = argv[ARGUMENT_TIMELINE];
    long fd = strtol(argv[ARGUMENT_PLAN], &end, 10);
    if (library[0] && !malloc_is_of(library)) {
        fprintf(stderr, "%s: malloc is not from %s\n", path, library);
        return 1;
    }
    const struct replay_plan *plan = replay_plan_map(*end ? -1 : (int)fd, &error);
    if (!plan) {
        fprintf(stderr, "%s: %s\n", path, error.reason);
        return 1;
    }
    if (!replay_run(plan, &result, &error)) {
        fprintf(stderr, "%s: operation %zu: %s\n", path, error.where, error.reason);
        return 1;
    }
    print_result(&result, path, strcmp(argv[ARGUMENT_FORM], "json") == 0);
    if (timeline[0] && !write_timeline(&result, timeline)) {
        fprintf(stderr, "%s: %s\n", timeline, strerror(errno));
        return 1;
    }
    return 0;
}
