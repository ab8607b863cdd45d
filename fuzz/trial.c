// trial.c: a child per trial, its standard error through a pipe, and the class of its failure.
//
// The class is the first of these that the child said:
//   ERROR: AddressSanitizer: KIND, WARNING: ThreadSanitizer: KIND, with the place of the SUMMARY
//   FILE:LINE:COLUMN: runtime error: TEXT
//   TARGET: found: ...: REASON      (without the operation, which moves while things are left out)
//   hakmem: TEXT
// else the signal or the exit status. In text, each number counts as '#'.
#define _GNU_SOURCE 1
#include "trial.h"

#include "target.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAID_FIRST ((size_t)16384)
#define SAID_MAX ((size_t)4 << 20)
#define EXIT_WELL 0
#define EXIT_REFUSED 113

// ---- the class ----

// Copies the line at `from`, numbers as '#'.
static void put_plain(struct trial_class *class, const char *from)
{
    size_t n = strlen(class->text);
    while (*from != 0 && *from != '\n' && n + 2 < sizeof class->text) {
        bool number = isdigit((unsigned char)*from) &&
                      (n == 0 || !isalpha((unsigned char)class->text[n - 1]));
        if (!number) {
            class->text[n++] = *from++;
            continue;
        }
        class->text[n++] = '#';
        if (from[0] == '0' && from[1] == 'x')
            from += 2;
        while (isxdigit((unsigned char)*from))
            from++;
    }
    class->text[n] = 0;
}

static const char *behind(const char *said, const char *mark)
{
    const char *at = strstr(said, mark);
    return at ? at + strlen(mark) : NULL;
}

// The reason behind "TARGET: found: operation 12: t0 free s3: " or "TARGET: found: at the end: ".
// An operation's text has no ": ".
static const char *reason_of(const char *found)
{
    const char *at = strstr(found, ": ");
    if (at && strncmp(found, "operation ", 10) == 0)
        at = strstr(at + 2, ": ");
    return at ? at + 2 : found;
}

static bool sanitizer(struct trial_class *class, const char *said, const char *mark)
{
    const char *kind = behind(said, mark);
    if (!kind)
        return false;
    size_t n = strcspn(kind, " \n");
    const char *place = behind(kind, "SUMMARY: ");
    place = place ? strchr(place, '(') : NULL; // (program+0x1234): not symbolised, so it is quick
    size_t length = place ? strcspn(place, ")\n") : 0;
    const char *name = length ? memrchr(place, '/', length) : NULL;
    snprintf(class->text, sizeof class->text, "%s%.*s", mark, (int)n, kind);
    if (length) {
        name = name ? name + 1 : place + 1;
        size_t used = strlen(class->text);
        snprintf(class->text + used, sizeof class->text - used, " in %.*s",
                 (int)(place + length - name), name);
    }
    return true;
}

struct trial_class trial_classify(const char *said, int status)
{
    struct trial_class class = { "" };
    bool well = WIFEXITED(status) &&
                (WEXITSTATUS(status) == EXIT_WELL || WEXITSTATUS(status) == EXIT_REFUSED);
    if (well || sanitizer(&class, said, "AddressSanitizer: ") ||
        sanitizer(&class, said, "ThreadSanitizer: ") ||
        sanitizer(&class, said, "MemorySanitizer: "))
        return class;
    char mark[100];
    snprintf(mark, sizeof mark, "%s: found: ", target_name);
    const char *text;
    if ((text = behind(said, ": runtime error: ")) != NULL) {
        snprintf(class.text, sizeof class.text, "runtime error: ");
        put_plain(&class, text);
    } else if ((text = behind(said, mark)) != NULL)
        put_plain(&class, reason_of(text));
    else if ((text = behind(said, "hakmem: ")) != NULL)
        put_plain(&class, text);
    else if (WIFSIGNALED(status))
        snprintf(class.text, sizeof class.text, "signal %s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(class.text, sizeof class.text, "exit status %d", WEXITSTATUS(status));
    return class;
}

// ---- the child ----

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static _Noreturn void be_child(int to, const uint8_t *data, size_t size, trial_before before,
                               void *arg)
{
    struct rlimit no_core = { 0, 0 };
    setrlimit(RLIMIT_CORE, &no_core);
    // An engine would keep the input of the parent as a finding.
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(NULL);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    int result = 0;
    if (!before || before(arg, data, size))
        result = LLVMFuzzerTestOneInput(data, size);
    _exit(result == 0 ? EXIT_WELL : EXIT_REFUSED);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

// Reads to the end, or until `deadline`. False: the deadline passed.
static bool collect(struct trial *trial, int from, uint64_t deadline)
{
    size_t length = 0, room = SAID_FIRST;
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd poll_from = { .fd = from, .events = POLLIN };
        int ready = now < deadline ? poll(&poll_from, 1, (int)(deadline - now)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        if (length + 4096 > room && room < SAID_MAX) {
            char *more = realloc(trial->said, room * 2 + 1);
            if (!more)
                return false;
            trial->said = more;
            room *= 2;
        }
        char dropped[4096];
        bool full = length + 4096 > room;
        ssize_t got = read(from, full ? dropped : trial->said + length, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += full ? 0 : (size_t)got;
        trial->said[length] = 0;
    }
    trial->said[length] = 0;
    return true;
}

bool trial_run(struct trial *trial, const uint8_t *data, size_t size, unsigned seconds,
               trial_before before, void *arg)
{
    int ends[2], status;
    memset(trial, 0, sizeof *trial);
    fflush(stdout);
    trial->said = malloc(SAID_FIRST + 1);
    if (!trial->said || pipe(ends) != 0) {
        trial_free(trial);
        return false;
    }
    trial->said[0] = 0;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        be_child(ends[1], data, size, before, arg);
    }
    close(ends[1]);
    bool ended = pid > 0 && collect(trial, ends[0], now_ms() + (uint64_t)seconds * 1000);
    close(ends[0]);
    if (pid < 0) {
        trial_free(trial);
        return false;
    }
    if (!ended)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    trial->status = status;
    trial->hung = !ended;
    trial->refused = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_REFUSED;
    if (ended)
        trial->class = trial_classify(trial->said, status);
    else
        snprintf(trial->class.text, sizeof trial->class.text, "hangs");
    return true;
}

void trial_free(struct trial *trial)
{
    free(trial->said);
    trial->said = NULL;
}
