// minimize.c: makes a failing input of a target small, while it fails in the same way.
//
//   TARGET [--out FILE] [--c FILE] [--seconds N] [--schedules N] INPUT
//
// INPUT is a file as for replay.c. Each trial runs in a child (trial.h); what counts as "the same
// way" is the class of the failure there. A scheduled input is first made concrete: its decisions
// become a list, whatever strategy found it; operations that are left out move the steps that the
// list names, so a candidate that no longer fails gets --schedules others (PCT and random walks).
// Inputs that are no operations lose bytes.
//
// --out gets the result (text of operations, or bytes), --c a stand-alone C test. INPUT is only
// read. Exit: 0 done, 1 it does not fail or cannot be read or written, 2 wrong usage.
#define _GNU_SOURCE 1
#include "emit.h"
#include "shrink.h"
#include "target.h"
#include "trial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static struct {
    const char *input, *out, *c;
    unsigned seconds, schedules;
    struct trial_class class; // to keep
    unsigned long trials, searches, found;
    uint32_t *seed; // shared with children: which schedule they are at
    char concrete[64];
    bool scheduled;
} min = { .seconds = 20, .schedules = 200 };

static _Noreturn void stop(const char *reason)
{
    fprintf(stderr, "%s: %s\n", min.input, reason);
    exit(1);
}

// ---- trials ----

static bool fails_bytes(void *arg, const uint8_t *data, size_t size)
{
    (void)arg;
    struct trial trial;
    min.trials++;
    if (!trial_run(&trial, data, size, min.seconds, NULL, NULL))
        stop("cannot start a child");
    trial_free(&trial);
    return strcmp(trial.class.text, min.class.text) == 0;
}

// The records of a program, or NULL if they cannot say it.
static uint8_t *encode(const struct ops *program, size_t *size)
{
    struct ops_error error;
    *size = ops_encode(program, OPS_RECORDS, NULL, 0, &error);
    uint8_t *data = *size ? malloc(*size) : NULL;
    if (data)
        ops_encode(program, OPS_RECORDS, data, *size, &error);
    return data;
}

static bool fails(void *arg, const struct ops *candidate)
{
    size_t size;
    uint8_t *data = encode(candidate, &size);
    bool result = data && fails_bytes(arg, data, size);
    free(data);
    return result;
}

// Takes the decisions that a failing child wrote down.
static bool take_concrete(struct ops *program)
{
    struct ops decided = { 0 };
    struct ops_error error;
    bool ok = ops_load(&decided, min.concrete, &error);
    unlink(min.concrete);
    if (ok) {
        program->decision_count = 0;
        program->header.strategy = OPS_DECIDED;
        for (size_t i = 0; i < decided.decision_count; i++)
            ok &= ops_push_decision(program, decided.decisions[i]);
    }
    ops_free(&decided);
    return ok;
}

static bool write_concrete(void *arg, const uint8_t *data, size_t size)
{
    (void)arg, (void)data, (void)size;
    setenv("HAK_CONCRETE", min.concrete, 1);
    return true;
}

// In the child: one schedule after the other until one fails, which ends it.
static bool run_schedules(void *arg, const uint8_t *data, size_t size)
{
    uint8_t *mine = malloc(size);
    write_concrete(arg, data, size);
    if (!mine)
        return false;
    memcpy(mine, data, size);
    for (; *min.seed < min.schedules; ++*min.seed) {
        mine[6] = *min.seed % 2 ? OPS_RANDOM : OPS_PCT;
        mine[24] = (uint8_t)(2 + *min.seed / 2 % 4);
        memcpy(mine + 8, min.seed, sizeof *min.seed);
        LLVMFuzzerTestOneInput(mine, size);
    }
    free(mine);
    return false;
}

// Whether a failing child's decisions are fewer than `below` and make the candidate fail again.
static bool take_found(struct ops *candidate, size_t below)
{
    struct ops copy = { 0 };
    bool ok = shrink_copy(&copy, candidate) && take_concrete(&copy) &&
              copy.decision_count < below && fails(NULL, &copy) && shrink_copy(candidate, &copy);
    ops_free(&copy);
    return ok;
}

static bool search(void *arg, struct ops *candidate, size_t below)
{
    (void)arg;
    size_t size;
    bool found = false;
    uint8_t *data = encode(candidate, &size);
    min.searches++;
    // A schedule that fails in another way is stepped over.
    for (*min.seed = 0; data && !found && *min.seed < min.schedules; ++*min.seed) {
        struct trial trial;
        unlink(min.concrete);
        if (!trial_run(&trial, data, size, min.seconds, run_schedules, NULL))
            stop("cannot start a child");
        trial_free(&trial);
        bool alike = strcmp(trial.class.text, min.class.text) == 0;
        found = alike && take_found(candidate, below);
    }
    free(data);
    min.found += found;
    return found;
}

// ---- in ----

static uint8_t *read_input(size_t *size)
{
    FILE *file = fopen(min.input, "rb");
    uint8_t *data = NULL;
    size_t room = 0;
    *size = 0;
    if (!file)
        stop(strerror(errno));
    do {
        if (*size == room && !(data = realloc(data, room = room ? room * 2 : 4096)))
            stop("out of memory");
        *size += fread(data + *size, 1, room - *size, file);
    } while (!feof(file) && !ferror(file));
    if (ferror(file))
        stop("cannot be read");
    fclose(file);
    return data;
}

// What a program's file says when it is read strictly, for messages.
static bool load_strictly(struct ops *program, char *reason, size_t room)
{
    struct ops_error error;
    if (ops_load(program, min.input, &error))
        return true;
    snprintf(reason, room, error.text ? "line %zu: %s" : "offset %zu: %s", error.where,
             error.reason);
    return false;
}

static bool is_text(void)
{
    size_t length = strlen(min.input);
    return length > 4 && strcmp(min.input + length - 4, ".ops") == 0;
}

// The program as the target will run it. False: the input is no program.
static bool as_it_runs(struct ops *program, const uint8_t *data, size_t size)
{
    char *text = NULL;
    size_t length = 0;
    struct ops_error error;
    FILE *out = target_print ? open_memstream(&text, &length) : NULL;
    if (!out)
        return false;
    bool ok = target_print(data, size, out);
    ok = fclose(out) == 0 && ok && ops_parse(program, text, length, &error);
    free(text);
    return ok;
}

// Learns how the input fails, twice, so that what depends on chance is not taken for a result.
static void learn_class(const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < 2; i++) {
        struct trial trial;
        if (!trial_run(&trial, data, size, min.seconds, NULL, NULL))
            stop("cannot start a child");
        trial_free(&trial);
        if (trial.class.text[0] == 0) {
            char reason[200] = "", line[300];
            struct ops program = { 0 };
            bool whole = !target_print || load_strictly(&program, reason, sizeof reason);
            snprintf(line, sizeof line, "%s%s%s%s",
                     trial.refused ? "is no input of this target" : "does not fail here",
                     i ? " each time" : "", whole ? "" : "; read strictly: ", reason);
            stop(line);
        }
        if (i == 1 && strcmp(trial.class.text, min.class.text) != 0)
            stop("fails in different ways from run to run: make it an input of fuzz_sched first");
        min.class = trial.class;
    }
}

// Turns the schedule into a list of decisions, if this is a scheduled target.
static void make_concrete(struct ops *program)
{
    struct trial trial;
    struct ops candidate = { 0 };
    size_t size;
    uint8_t *data = encode(program, &size);
    if (!data || !trial_run(&trial, data, size, min.seconds, write_concrete, NULL))
        stop("cannot start a child");
    free(data);
    trial_free(&trial);
    min.scheduled = access(min.concrete, R_OK) == 0;
    if (min.scheduled && shrink_copy(&candidate, program) && take_concrete(&candidate) &&
        fails(NULL, &candidate)) {
        struct ops old = *program;
        *program = candidate;
        candidate = old;
    } else if (min.scheduled)
        printf("the list of its decisions does not make it fail: the schedule stays as it is\n");
    ops_free(&candidate);
}

// ---- out ----

static void print_size(FILE *out, const char *head, const struct ops *program, const char *tail)
{
    struct shrink_size n = shrink_measure(program);
    fprintf(out, "%s%zu operations, %zu threads, %zu preemptions, %zu stale reads, %zu others%s",
            head, n.ops, n.threads, n.preemptions, n.stale_reads, n.others, tail);
}

// Opens a file beside its final place, so that what is there stays until all is written.
static FILE *begin_file(const char *path, char *beside, size_t room)
{
    snprintf(beside, room, "%s.part", path);
    FILE *file = fopen(beside, "wb");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    return file;
}

static void end_file(FILE *file, const char *path, const char *beside)
{
    bool ok = !ferror(file);
    if (fclose(file) != 0 || !ok || rename(beside, path) != 0) {
        fprintf(stderr, "%s: cannot be written: %s\n", path, strerror(errno));
        exit(1);
    }
    printf("wrote %s\n", path);
}

static void write_c(const struct ops *program, const uint8_t *data, size_t size)
{
    char beside[4200];
    if (!min.c)
        return;
    FILE *file = begin_file(min.c, beside, sizeof beside);
    // Only what one thread does by calling the public functions can be said in them.
    if (!program || min.scheduled || !emit_calls(program, min.class.text, file))
        emit_embedded(data, size, min.class.text, file);
    end_file(file, min.c, beside);
}

static void write_program(const struct ops *program, const struct ops *before)
{
    char beside[4200];
    size_t size;
    uint8_t *data = encode(program, &size);
    if (!data)
        stop("out of memory");
    if (min.out) {
        FILE *file = begin_file(min.out, beside, sizeof beside);
        fprintf(file, "# %s: %s\n", target_name, min.class.text);
        print_size(file, "# made from ", before, "\n");
        ops_print(program, file);
        end_file(file, min.out, beside);
    }
    write_c(program, data, size);
    free(data);
}

static void write_bytes(const uint8_t *data, size_t size)
{
    char beside[4200];
    if (min.out) {
        FILE *file = begin_file(min.out, beside, sizeof beside);
        fwrite(data, 1, size, file);
        end_file(file, min.out, beside);
    }
    write_c(NULL, data, size);
}

// ---- all of it ----

static void minimize_program(struct ops *program)
{
    struct ops before = { 0 };
    make_concrete(program);
    if (!shrink_copy(&before, program))
        stop("out of memory");
    print_size(stdout, "before: ", program, "\n");
    fflush(stdout);
    struct shrink s = { .fails = fails, .search = min.scheduled ? search : NULL };
    shrink_program(&s, program);
    if (s.out_of_memory)
        stop("out of memory");
    print_size(stdout, "after:  ", program, "\n");
    ops_print(program, stdout);
    write_program(program, &before);
    ops_free(&before);
}

static void minimize(void)
{
    struct ops program = { 0 };
    char reason[200];
    size_t size;
    uint8_t *data = read_input(&size);
    if (is_text()) {
        free(data);
        if (!load_strictly(&program, reason, sizeof reason))
            stop(reason);
        if (!(data = encode(&program, &size)))
            stop("records cannot say what it says");
    }
    learn_class(data, size);
    printf("%s: fails with: %s\n", min.input, min.class.text);
    fflush(stdout);
    if (as_it_runs(&program, data, size) && fails(NULL, &program))
        minimize_program(&program);
    else {
        printf("before: %zu bytes\n", size);
        fflush(stdout);
        size = shrink_bytes(fails_bytes, NULL, data, size);
        printf("after:  %zu bytes\n", size);
        write_bytes(data, size);
    }
    printf("%lu trials, %lu searches for a schedule, %lu of them found one\n", min.trials,
           min.searches, min.found);
    ops_free(&program);
    free(data);
}

static bool is_number(const char *text, unsigned *n)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *n = (unsigned)value;
    return *text != 0 && *end == 0 && value > 0 && value <= 1000000;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: %s [--out FILE] [--c FILE] [--seconds N] [--schedules N] INPUT\n"
            "  --seconds    a trial that takes longer hangs (20)\n"
            "  --schedules  tried for a candidate whose decisions no longer fit (200)\n",
            target_name);
    return 2;
}

int main(int argc, char **argv)
{
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2)
        if (strcmp(argv[i], "--out") == 0)
            min.out = argv[i + 1];
        else if (strcmp(argv[i], "--c") == 0)
            min.c = argv[i + 1];
        else if (!(strcmp(argv[i], "--seconds") == 0 && is_number(argv[i + 1], &min.seconds)) &&
                 !(strcmp(argv[i], "--schedules") == 0 && is_number(argv[i + 1], &min.schedules)))
            return usage();
    if (i + 1 != argc || strncmp(argv[i], "--", 2) == 0)
        return usage();
    min.input = argv[i];
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    snprintf(min.concrete, sizeof min.concrete, "/tmp/hakmem-minimize-%d.bin", (int)getpid());
    min.seed = mmap(NULL, sizeof *min.seed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                    0);
    if (min.seed == MAP_FAILED)
        stop("out of memory");
    minimize();
    unlink(min.concrete);
    return 0;
}
