// hakmem_trace.c: the command hakmem-trace, which looks at traces, edits and replays them.
//
// Exit status: 0 all done, 1 a file was refused or a replay found something, 2 wrong usage. Errors
// go to standard error as "path: offset N: reason".
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edit.h"
#include "info.h"
#include "replay_process.h"
#include "trace_file.h"

enum { OK = 0, REFUSED = 1, USAGE = 2 };
enum { TIMELINE_SAMPLES = 400 };

static const char usage[] =
    "usage: hakmem-trace COMMAND [OPTION]... FILE...\n"
    "  info FILE...           counts, sizes, lifetimes, threads, peak\n"
    "  text FILE              the operations, one per line\n"
    "  check FILE...          refuses what is malformed or makes no sense\n"
    "  convert IN OUT         writes a trace; --records: a fuzz input\n"
    "  cut IN OUT             takes a part: --skip N --first N (operations), --from MS --to MS,\n"
    "                         --thread N (may be repeated), --keep-live, --free-at-end\n"
    "  trim IN OUT            keeps --ops N operations, about, and the mix of sizes and "
    "lifetimes;\n"
    "                         --size-max BYTES leaves larger blocks out\n"
    "  merge OUT IN IN...     runs traces side by side; --in-turn: one after the other\n"
    "  replay FILE            with the malloc of this process (preload any); --threads: one real\n"
    "                         thread for each of the trace, --fill ends|pages|all, --repeat N,\n"
    "                         --json, --preload LIBRARY, --timeline CSV: live bytes and memory\n"
    "FILE is a recording (.hkr), a trace (.hkt), a fuzz input or text. --salvage takes the good\n"
    "part of a damaged recording.\n";

enum option_number {
    OPTION_RECORDS = 256,
    OPTION_SKIP,
    OPTION_FIRST,
    OPTION_FROM,
    OPTION_TO,
    OPTION_THREAD,
    OPTION_KEEP_LIVE,
    OPTION_FREE_AT_END,
    OPTION_OPS,
    OPTION_SIZE_MAX,
    OPTION_IN_TURN,
    OPTION_THREADS,
    OPTION_FILL,
    OPTION_REPEAT,
    OPTION_JSON,
    OPTION_PRELOAD,
    OPTION_TIMELINE,
    OPTION_SALVAGE,
    OPTION_HELP,
};

struct arguments {
    uint32_t given; // bit (number - OPTION_RECORDS) of each option that was given
    bool salvage;
    bool records;
    bool in_turn;
    bool json;
    bool threads[OPS_THREADS_MAX];
    struct cut_options cut;
    struct trim_options trim;
    struct replay_request replay;
    char *program;
    int files_count;
    char **files;
};

// ---- usage ----

static int wrong_usage(const char *what, const char *which)
{
    fprintf(stderr, "hakmem-trace: %s%s%s\n%s", what, which[0] ? " " : "", which, usage);
    return USAGE;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value > max)
        return false;
    *out = value;
    return true;
}

static bool parse_fill(const char *text, enum replay_fill *out)
{
    static const char *const names[] = { "ends", "pages", "all" };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum replay_fill)i;
            return true;
        }
    return false;
}

// The options that carry a number.
static bool take_number(struct arguments *a, int option, uint64_t n)
{
    switch (option) {
    case OPTION_SKIP:
        a->cut.skip = (uint32_t)n;
        return true;
    case OPTION_FIRST:
        a->cut.first = (uint32_t)n;
        return true;
    case OPTION_FROM:
        a->cut.from_ms = n;
        return true;
    case OPTION_TO:
        a->cut.to_ms = n;
        return true;
    case OPTION_THREAD:
        if (n >= OPS_THREADS_MAX)
            return false;
        a->threads[n] = true;
        a->cut.threads = a->threads;
        return true;
    case OPTION_OPS:
        a->trim.ops = (uint32_t)n;
        return n > 0;
    case OPTION_SIZE_MAX:
        a->trim.size_max = n;
        return true;
    case OPTION_REPEAT:
        a->replay.options.repeats = (unsigned)n;
        return n > 0 && n <= 1000000;
    default:
        return false;
    }
}

// The options that stand alone.
static bool take_flag(struct arguments *a, int option)
{
    switch (option) {
    case OPTION_RECORDS:
        return a->records = true;
    case OPTION_KEEP_LIVE:
        return a->cut.keep_live = true;
    case OPTION_FREE_AT_END:
        return a->cut.free_at_end = true;
    case OPTION_IN_TURN:
        return a->in_turn = true;
    case OPTION_THREADS:
        return a->replay.options.real_threads = true;
    case OPTION_JSON:
        return a->json = true;
    case OPTION_SALVAGE:
        return a->salvage = true;
    default:
        return false;
    }
}

static int take_option(struct arguments *a, int option)
{
    uint64_t n;
    uint64_t max = option == OPTION_FROM || option == OPTION_TO || option == OPTION_SIZE_MAX
                       ? UINT64_MAX
                       : UINT32_MAX;
    if (option == OPTION_FILL)
        return parse_fill(optarg, &a->replay.options.fill)
                   ? OK
                   : wrong_usage("no such way to fill:", optarg);
    if (option == OPTION_PRELOAD || option == OPTION_TIMELINE) {
        *(option == OPTION_PRELOAD ? &a->replay.preload : &a->replay.timeline) = optarg;
        return OK;
    }
    if (take_flag(a, option))
        return OK;
    if (option == '?' || !optarg)
        return wrong_usage("wrong option", "");
    if (!parse_number(optarg, max, &n) || !take_number(a, option, n))
        return wrong_usage("not a number in range:", optarg);
    return OK;
}

// ---- files ----

static int refuse(const char *path, const struct ops_error *error, bool has_place)
{
    char line[600];
    if (has_place)
        ops_format_error(error, path, line, sizeof line);
    else
        snprintf(line, sizeof line, "%s: %s", path, error->reason);
    fprintf(stderr, "%s\n", line);
    return REFUSED;
}

static int load(struct trace *trace, const struct arguments *a, const char *path)
{
    struct ops_error error;
    if (!trace_load(trace, path, a->salvage, &error))
        return refuse(path, &error, true);
    if (error.reason[0]) {
        refuse(path, &error, true);
        fprintf(stderr, "%s: goes on with the %zu operations before that\n", path,
                trace->ops.count);
    }
    return OK;
}

static int save(struct ops *ops, enum ops_form form, const char *path)
{
    struct ops_error error;
    int status = trace_save(ops, form, path, &error) ? OK : refuse(path, &error, false);
    if (status == OK)
        printf("%s: %zu operations, %u threads, %u slots\n", path, ops->count, ops->header.threads,
               ops->slots);
    return status;
}

// ---- commands ----

static int command_info(const struct arguments *a)
{
    int status = OK;
    for (int i = 0; i < a->files_count; i++) {
        struct trace trace;
        if (load(&trace, a, a->files[i]) != OK) {
            status = REFUSED;
            continue;
        }
        if (!trace_print_info(&trace, a->files[i], stdout)) {
            fprintf(stderr, "%s: out of memory\n", a->files[i]);
            status = REFUSED;
        }
        trace_free(&trace);
    }
    return status;
}

static int command_text(const struct arguments *a)
{
    struct trace trace;
    if (load(&trace, a, a->files[0]) != OK)
        return REFUSED;
    ops_print(&trace.ops, stdout);
    trace_free(&trace);
    return OK;
}

static int command_check(const struct arguments *a)
{
    int status = OK;
    for (int i = 0; i < a->files_count; i++) {
        struct trace trace;
        if (load(&trace, a, a->files[i]) != OK) {
            status = REFUSED;
            continue;
        }
        printf("%s: %zu operations, %u threads, %u slots", a->files[i], trace.ops.count,
               trace.ops.header.threads, trace.ops.slots);
        if (trace.recorded)
            printf(", %" PRIu64 " unknown and %" PRIu64 " missed frees",
                   trace.summary.frees_unknown, trace.summary.frees_missed);
        printf("\n");
        trace_free(&trace);
    }
    return status;
}

static int command_convert(const struct arguments *a)
{
    struct trace trace;
    if (load(&trace, a, a->files[0]) != OK)
        return REFUSED;
    int status = save(&trace.ops, a->records ? OPS_RECORDS : OPS_TRACE, a->files[1]);
    trace_free(&trace);
    return status;
}

static int command_cut(const struct arguments *a)
{
    struct trace trace;
    struct ops out;
    struct ops_error error;
    if (load(&trace, a, a->files[0]) != OK)
        return REFUSED;
    int status = trace_cut(&out, &trace, &a->cut, &error) ? save(&out, OPS_TRACE, a->files[1])
                                                          : refuse(a->files[0], &error, false);
    ops_free(&out);
    trace_free(&trace);
    return status;
}

static int command_trim(const struct arguments *a)
{
    struct trace trace;
    struct ops out;
    struct ops_error error;
    if (a->trim.ops == 0)
        return wrong_usage("trim needs --ops", "");
    if (load(&trace, a, a->files[0]) != OK)
        return REFUSED;
    int status = trace_trim(&out, &trace, &a->trim, &error) ? save(&out, OPS_TRACE, a->files[1])
                                                            : refuse(a->files[0], &error, false);
    ops_free(&out);
    trace_free(&trace);
    return status;
}

static int command_merge(const struct arguments *a)
{
    size_t count = (size_t)a->files_count - 1;
    struct trace *traces = calloc(count, sizeof *traces);
    struct ops out = { 0 };
    struct ops_error error;
    int status = traces ? OK : REFUSED;
    if (!traces)
        fprintf(stderr, "hakmem-trace: out of memory\n");
    for (size_t i = 0; status == OK && i < count; i++)
        status = load(&traces[i], a, a->files[i + 1]);
    if (status == OK)
        status = trace_merge(&out, traces, count, a->in_turn, &error)
                     ? save(&out, OPS_TRACE, a->files[0])
                     : refuse(a->files[0], &error, false);
    ops_free(&out);
    for (size_t i = 0; traces && i < count; i++)
        trace_free(&traces[i]);
    free(traces);
    return status;
}

static int command_replay(const struct arguments *a)
{
    struct trace trace;
    struct ops_error error;
    struct replay_request request = a->replay;
    request.program = a->program;
    request.path = a->files[0];
    request.json = a->json;
    if (request.timeline && (request.options.real_threads || request.options.repeats > 1))
        return wrong_usage("a timeline is of one thread and one run", "");
    request.options.samples = request.timeline ? TIMELINE_SAMPLES : 0;
    if (load(&trace, a, request.path) != OK)
        return REFUSED;
    replay_process_become(&request, &trace, &error);
    trace_free(&trace);
    return refuse(request.path, &error, false);
}

#define BIT(option) ((uint32_t)1 << (OPTION_##option - OPTION_RECORDS))

static const struct command {
    const char *name;
    int (*run)(const struct arguments *);
    int files_min;
    int files_max;
    uint32_t options; // that mean something to it, beside --salvage
} commands[] = {
    { "info", command_info, 1, INT32_MAX, 0 },
    { "text", command_text, 1, 1, 0 },
    { "check", command_check, 1, INT32_MAX, 0 },
    { "convert", command_convert, 2, 2, BIT(RECORDS) },
    { "cut", command_cut, 2, 2,
      BIT(SKIP) | BIT(FIRST) | BIT(FROM) | BIT(TO) | BIT(THREAD) | BIT(KEEP_LIVE) |
          BIT(FREE_AT_END) },
    { "trim", command_trim, 2, 2, BIT(OPS) | BIT(SIZE_MAX) },
    { "merge", command_merge, 3, INT32_MAX, BIT(IN_TURN) },
    { "replay", command_replay, 1, 1,
      BIT(THREADS) | BIT(FILL) | BIT(REPEAT) | BIT(JSON) | BIT(PRELOAD) | BIT(TIMELINE) },
};

static const struct option long_options[] = {
    { "records", no_argument, NULL, OPTION_RECORDS },
    { "skip", required_argument, NULL, OPTION_SKIP },
    { "first", required_argument, NULL, OPTION_FIRST },
    { "from", required_argument, NULL, OPTION_FROM },
    { "to", required_argument, NULL, OPTION_TO },
    { "thread", required_argument, NULL, OPTION_THREAD },
    { "keep-live", no_argument, NULL, OPTION_KEEP_LIVE },
    { "free-at-end", no_argument, NULL, OPTION_FREE_AT_END },
    { "ops", required_argument, NULL, OPTION_OPS },
    { "size-max", required_argument, NULL, OPTION_SIZE_MAX },
    { "in-turn", no_argument, NULL, OPTION_IN_TURN },
    { "threads", no_argument, NULL, OPTION_THREADS },
    { "fill", required_argument, NULL, OPTION_FILL },
    { "repeat", required_argument, NULL, OPTION_REPEAT },
    { "json", no_argument, NULL, OPTION_JSON },
    { "preload", required_argument, NULL, OPTION_PRELOAD },
    { "timeline", required_argument, NULL, OPTION_TIMELINE },
    { "salvage", no_argument, NULL, OPTION_SALVAGE },
    { "help", no_argument, NULL, OPTION_HELP },
    { 0 },
};

// What could not be printed is not done.
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "hakmem-trace: cannot write to standard output: %s\n", strerror(errno));
    return REFUSED;
}

int main(int argc, char **argv)
{
    static struct arguments a = {
        .cut = { .first = UINT32_MAX, .to_ms = UINT64_MAX, .threads_max = OPS_THREADS_MAX },
        .trim = { .size_max = UINT64_MAX },
        .replay = { .options = { .fill = FILL_PAGES, .repeats = 1 } },
    };
    int option;
    if (argc > 1 && strcmp(argv[1], replay_process_name) == 0)
        return finish(replay_process_run(argc, argv));
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(usage, stdout);
            return finish(OK);
        }
        int status = take_option(&a, option);
        if (status != OK)
            return status;
        a.given |= (uint32_t)1 << (option - OPTION_RECORDS);
    }
    if (optind == argc)
        return wrong_usage("no command", "");
    a.program = argv[0];
    a.files = argv + optind + 1;
    a.files_count = argc - optind - 1;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *command = &commands[i];
        if (strcmp(argv[optind], command->name) != 0)
            continue;
        if (a.files_count < command->files_min || a.files_count > command->files_max)
            return wrong_usage("wrong number of files for", command->name);
        if (a.given & ~(command->options | BIT(SALVAGE)))
            return wrong_usage("an option means nothing to", command->name);
        return finish(command->run(&a));
    }
    return wrong_usage("no such command:", argv[optind]);
}
