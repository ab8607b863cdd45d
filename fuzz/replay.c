// replay.c: runs files through a target without a fuzzing engine, in any build.
//
//   TARGET [--text] [--times N] [--seconds N] FILE|FOLDER...
//
// Folders are walked; a file whose name ends in .ops is an operations text and is encoded first.
// --text prints each input as it will run before it runs. --times runs each input N times in the
// same process. An input that takes more than --seconds ends the process too.
//
// Exit: 0 all ran, 2 a file could not be read, no file was found, or wrong usage; what a target
// finds ends the process by a signal or a sanitizer's exit status, which may be 1. However it ends,
// the target says what it knows of it (target_died), and the last line which file it was.
#include "target.h"

#include <errno.h>
#include <fts.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

#define DEATH_SECONDS 20u
#define SIGNAL_STACK_BYTES ((size_t)256 << 10)

static char current[4096];
static unsigned long files, bytes_total, refused, errors;
static unsigned times = 1, seconds;
static bool text;

static void say_current(void)
{
    static const char head[] = "replay: this happened in ";
    (void)!write(STDERR_FILENO, head, sizeof head - 1);
    (void)!write(STDERR_FILENO, current, strlen(current));
    (void)!write(STDERR_FILENO, "\n", 1);
}

// The last words: more than a handler may do, but whatever goes wrong in it, the process ends.
static void on_death(void)
{
    static volatile sig_atomic_t dying;
    if (dying++)
        return;
    signal(SIGALRM, SIG_DFL);
    alarm(DEATH_SECONDS);
    if (target_died)
        target_died();
    say_current();
}

static void on_signal(int number)
{
    if (number == SIGALRM)
        fprintf(stderr, "%s: found: no end within %u seconds\n", target_name, seconds);
    on_death();
    signal(number, SIG_DFL);
    raise(number);
}

// On a stack of their own, because a stack may be what overflowed.
static void catch_signals(void)
{
    static char room[SIGNAL_STACK_BYTES];
    static const int signals[] = { SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    stack_t stack = { .ss_sp = room, .ss_size = sizeof room };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER };
    // A sanitizer has a stack and handlers of its own for what it reports itself.
    bool all = !__sanitizer_set_death_callback;
    if (all)
        sigaltstack(&stack, NULL);
    else
        __sanitizer_set_death_callback(on_death);
    for (unsigned i = 0; i < (all ? sizeof signals / sizeof *signals : 2); i++)
        sigaction(signals[i], &action, NULL);
}

static bool fail(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    errors++;
    return false;
}

static bool read_file(const char *path, uint8_t **data, size_t *size)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &status) != 0) {
        if (file)
            fclose(file);
        return fail(path, strerror(errno));
    }
    // Exactly as long as the input, so that a sanitizer sees a target read behind it.
    *size = (size_t)status.st_size;
    *data = malloc(*size ? *size : 1);
    bool ok = *data && fread(*data, 1, *size, file) == *size;
    fclose(file);
    if (!ok)
        free(*data);
    return ok ? true : fail(path, "cannot be read");
}

static bool encode_text(const char *path, uint8_t **data, size_t *size)
{
    struct ops program = { 0 };
    struct ops_error error;
    char line[400];
    bool ok = ops_parse(&program, (const char *)*data, *size, &error);
    free(*data);
    *data = NULL;
    if (ok) {
        *size = ops_encode(&program, OPS_RECORDS, NULL, 0, &error);
        *data = *size ? malloc(*size) : NULL;
        ok = *data && ops_encode(&program, OPS_RECORDS, *data, *size, &error);
    }
    ops_free(&program);
    if (ok)
        return true;
    ops_format_error(&error, path, line, sizeof line);
    fprintf(stderr, "%s\n", line);
    errors++;
    return false;
}

static void replay_file(const char *path)
{
    uint8_t *data;
    size_t size, length = strlen(path);
    snprintf(current, sizeof current, "%s", path);
    if (!read_file(path, &data, &size))
        return;
    if (length > 4 && strcmp(path + length - 4, ".ops") == 0 && !encode_text(path, &data, &size))
        return;
    if (text) {
        printf("# %s\n", path);
        if (!target_print || !target_print(data, size, stdout))
            printf("# %zu bytes that are no operations\n", size);
        fflush(stdout);
    }
    int result = 0;
    alarm(seconds); // 0: none
    for (unsigned i = 0; i < times && result == 0; i++)
        result = LLVMFuzzerTestOneInput(data, size);
    alarm(0);
    free(data);
    files++;
    bytes_total += size;
    refused += result != 0;
}

static void replay_tree(char *path)
{
    char *paths[] = { path, NULL };
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree) {
        fail(path, strerror(errno));
        return;
    }
    for (FTSENT *entry; (entry = fts_read(tree)) != NULL;)
        if (entry->fts_info == FTS_F && strcmp(entry->fts_name, "README.md") != 0)
            replay_file(entry->fts_path);
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR ||
                 entry->fts_info == FTS_NS)
            fail(entry->fts_path, strerror(entry->fts_errno));
    fts_close(tree);
}

static bool is_number(const char *word, unsigned *n)
{
    char *end;
    unsigned long value = strtoul(word, &end, 10);
    *n = (unsigned)value;
    return *word >= '0' && *word <= '9' && *end == 0 && value > 0 && value <= 1000000;
}

static int usage(void)
{
    fprintf(stderr, "usage: %s [--text] [--times N] [--seconds N] FILE|FOLDER...\n", target_name);
    return 2;
}

int main(int argc, char **argv)
{
    int first = 1;
    for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++)
        if (strcmp(argv[first], "--text") == 0)
            text = true;
        else if (first + 1 < argc &&
                 ((strcmp(argv[first], "--times") == 0 && is_number(argv[first + 1], &times)) ||
                  (strcmp(argv[first], "--seconds") == 0 && is_number(argv[first + 1], &seconds))))
            first++;
        else
            return usage();
    if (first == argc)
        return usage();
    catch_signals(); // before the scheduler's own, which passes on what is no stack overflow
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = first; i < argc; i++)
        replay_tree(argv[i]);
    printf("%s: %lu files, %lu bytes, %lu of them refused by the target, %lu errors\n", target_name,
           files, bytes_total, refused, errors);
    if (files == 0)
        fprintf(stderr, "%s: no files to replay\n", target_name);
    return files == 0 || errors ? 2 : 0;
}
