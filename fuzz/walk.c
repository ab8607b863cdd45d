// walk.c: runs the programs of a corpus under one strategy with ever new seeds, without an engine.
//
//   TARGET [--strategy random|pct|pos|kept] [--seconds N] [--executions N] [--seed N]
//          [--out FOLDER] [--found FILE] [--pairs FILE] FOLDER...
//
// Each execution takes a file of the folders (records) and gives it strategy and seed; `kept` runs
// each file once as it is. An input that shows a feature for the first time goes to --out, one that
// fails or hangs to --found. --pairs writes which store each load read, `LOAD STORE EXECUTIONS` per
// line. What is new is said by the sample of HAK_SPECIES=FILE (species.h): without it nothing is.
// A line per second says how far it is. Exit: 0 done, 1 no file can be used, 2 wrong usage; what a
// target finds ends the process as in replay.c.
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sites.h>

#include "sched/scheduler.h"
#include "sched/weaken.h"
#include "species.h"

#define FILES_MAX 65536u
#define INPUT_MAX 65536u
#define BURST 16u       // executions of one file in a row
#define HANG_SECONDS 60 // of one execution
#define SITES (SITE_COUNT + 1)
#define AT_STRATEGY 6u // offsets of the header (ops.h)
#define AT_SEED 8u
#define AT_DEPTH 24u

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static struct {
    int strategy; // enum ops_strategy, or -1: kept
    unsigned long seconds, executions;
    struct random random;
    const char *out, *pairs;
    int found;
} options = { .strategy = -1, .found = -1 };

static struct {
    uint8_t *data;
    size_t size;
} files[FILES_MAX];
static size_t file_count;
static uint8_t input[INPUT_MAX];
static size_t input_size;
static uint64_t executions, kept;
static uint32_t read_from[SITES][SITES]; // executions
static uint64_t last_met[SITES][SITES];  // the last of them, from 1
static void (*counted)(uint32_t, uint32_t);

// ---- failures ----

static void save_input(void)
{
    if (options.found < 0)
        return;
    if (pwrite(options.found, input, input_size, 0) != (ssize_t)input_size ||
        ftruncate(options.found, (off_t)input_size) != 0) {
        static const char sorry[] = "walk: the input that fails cannot be written\n";
        (void)!write(STDERR_FILENO, sorry, sizeof sorry - 1);
    }
}

static void on_signal(int number)
{
    static const char hangs[] = "walk: found: an execution hangs\n";
    if (number == SIGALRM)
        (void)!write(STDERR_FILENO, hangs, sizeof hangs - 1);
    save_input();
    signal(number, SIG_DFL);
    raise(number);
}

// ---- the files ----

static bool is_records(const uint8_t *data, size_t size)
{
    return size >= OPS_HEADER_BYTES && memcmp(data, "HAKO", 4) == 0 && data[5] == OPS_RECORDS;
}

static void take_file(const char *path, size_t size)
{
    if (size < OPS_HEADER_BYTES || size > INPUT_MAX || file_count == FILES_MAX)
        return;
    uint8_t *data = malloc(size);
    FILE *file = fopen(path, "rb");
    bool ok = data != NULL && file != NULL && fread(data, 1, size, file) == size;
    if (file != NULL)
        fclose(file);
    if (ok && is_records(data, size)) {
        files[file_count].data = data;
        files[file_count++].size = size;
    } else
        free(data); // another process may have removed it, or it is none of ours
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void take_folders(char **paths)
{
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    if (tree == NULL) {
        perror("walk");
        exit(2);
    }
    for (FTSENT *entry; (entry = fts_read(tree)) != NULL;)
        if (entry->fts_info == FTS_F)
            take_file(entry->fts_path, (size_t)entry->fts_statp->st_size);
    fts_close(tree);
}

// ---- executions ----

static void reads_from(uint32_t load, uint32_t store)
{
    if (load < SITES && store < SITES && last_met[load][store] != executions + 1) {
        last_met[load][store] = executions + 1;
        read_from[load][store]++;
    }
    counted(load, store);
}

static void put_little(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void keep_input(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%016" PRIx64 "%08" PRIx64, options.out,
             random_next(&options.random), executions);
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL && fwrite(input, 1, input_size, file) == input_size;
    if (file != NULL)
        ok &= fclose(file) == 0;
    if (!ok) {
        fprintf(stderr, "walk: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    kept++;
}

static void run_one(size_t index)
{
    input_size = files[index].size;
    memcpy(input, files[index].data, input_size);
    if (options.strategy >= 0) {
        input[AT_STRATEGY] = (uint8_t)options.strategy;
        put_little(input + AT_SEED, (uint32_t)random_next(&options.random));
        input[AT_DEPTH] = 0;
    }
    species_begin();
    alarm(HANG_SECONDS);
    LLVMFuzzerTestOneInput(input, input_size);
    alarm(0);
    executions++;
    if (species_end(input, input_size) && options.out != NULL && options.strategy >= 0)
        keep_input();
}

static void say(double seconds)
{
    uint64_t pairs = 0;
    for (unsigned i = 0; i < SITES; i++)
        for (unsigned j = 0; j < SITES; j++)
            pairs += read_from[i][j] != 0;
    printf("walk: executions %" PRIu64 " per-second %.0f pairs %" PRIu64 " kept %" PRIu64 "\n",
           executions, seconds > 0 ? (double)executions / seconds : 0.0, pairs, kept);
    fflush(stdout);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void walk(void)
{
    double begun = now(), said = begun;
    for (size_t i = 0;; i++) {
        size_t index = i;
        if (options.strategy >= 0 && i % BURST == 0)
            index = random_below(&options.random, (uint32_t)file_count);
        else if (options.strategy >= 0)
            index = i % file_count;
        else if (i == file_count)
            break;
        run_one(index);
        double t = now();
        if (t - said >= 1) {
            said = t;
            say(t - begun);
        }
        if ((options.executions != 0 && executions >= options.executions) ||
            (options.seconds != 0 && t - begun >= (double)options.seconds))
            break;
    }
    say(now() - begun);
}

static void write_pairs(void)
{
    FILE *file = fopen(options.pairs, "w");
    bool ok = file != NULL;
    // Index 0: places without a name, of which weaken.h knows nothing.
    for (uint32_t i = 1; ok && i <= weaken_count(); i++)
        for (uint32_t j = 0; ok && j <= weaken_count(); j++)
            if (read_from[i][j] != 0)
                ok = fprintf(file, "%s %s %" PRIu32 "\n", weaken_name(i - 1),
                             j == 0 ? "(initial)" : weaken_name(j - 1), read_from[i][j]) > 0;
    if (file != NULL)
        ok &= fclose(file) == 0;
    if (!ok) {
        perror(options.pairs);
        exit(2);
    }
}

// ---- the command ----

static int usage(void)
{
    fprintf(stderr,
            "usage: walk/%s [--strategy random|pct|pos|kept] [--seconds N] [--executions N]\n"
            "       [--seed N] [--out FOLDER] [--found FILE] [--pairs FILE] FOLDER...\n",
            target_name);
    return 2;
}

static bool take_strategy(const char *name)
{
    static const char *const names[] = {
        [OPS_RANDOM] = "random", [OPS_PCT] = "pct", [OPS_POS] = "pos"
    };
    for (int i = OPS_RANDOM; i <= OPS_POS; i++)
        if (strcmp(name, names[i]) == 0) {
            options.strategy = i;
            return true;
        }
    return strcmp(name, "kept") == 0;
}

static bool take_number(const char *text, unsigned long *number)
{
    char *end;
    errno = 0;
    *number = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0;
}

static bool open_found(const char *path)
{
    options.found = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    // Room for what may be found is taken now: the disk may be full then.
    if (options.found < 0 || posix_fallocate(options.found, 0, INPUT_MAX) != 0) {
        perror(path);
        return false;
    }
    return true;
}

static bool take_option(const char *name, const char *value)
{
    unsigned long seed;
    if (strcmp(name, "--strategy") == 0)
        return take_strategy(value);
    if (strcmp(name, "--seconds") == 0)
        return take_number(value, &options.seconds);
    if (strcmp(name, "--executions") == 0)
        return take_number(value, &options.executions);
    if (strcmp(name, "--seed") == 0) {
        bool ok = take_number(value, &seed);
        random_seed(&options.random, seed);
        return ok;
    }
    if (strcmp(name, "--found") == 0)
        return open_found(value);
    if (strcmp(name, "--out") == 0)
        options.out = value;
    else if (strcmp(name, "--pairs") == 0)
        options.pairs = value;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    int first = 1;
    random_seed(&options.random, 1);
    for (; first + 1 < argc && strncmp(argv[first], "--", 2) == 0; first += 2)
        if (!take_option(argv[first], argv[first + 1]))
            return usage();
    if (first >= argc || strncmp(argv[first], "--", 2) == 0 ||
        (options.strategy >= 0 && options.seconds == 0 && options.executions == 0))
        return usage();
    take_folders(argv + first);
    if (file_count == 0) {
        fprintf(stderr, "walk/%s: no file of records\n", target_name);
        return 1;
    }
    species_open();
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    counted = sched_reads_from;
    sched_reads_from = reads_from;
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(save_input);
    else
        signal(SIGSEGV, on_signal);
    walk();
    if (options.pairs != NULL)
        write_pairs();
    if (options.found >= 0 && ftruncate(options.found, 0) != 0)
        perror("walk");
    return 0;
}
