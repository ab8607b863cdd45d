// signals.c (seam): see signals.h. All that the handler calls are system calls, and hak_on_signal.
// Files go by way of syscall(2), as in os.c: a race detector that sees some calls of a descriptor
// and not others takes its number, used anew, for the old file.
#define _GNU_SOURCE 1
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 64, FORMAT_SHIFT = 16 };

// Appends the digits of `value`, then `text`. Returns behind them.
static char *put(char *at, unsigned value, const char *text)
{
    char digits[12];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (n > 0)
        *at++ = digits[--n];
    while (*text != 0)
        *at++ = *text++;
    *at = 0;
    return at;
}

// A regular file that the sender has open, so that no write ever waits; -1: there is none.
static int open_answer(unsigned sender, unsigned fd)
{
    char path[PATH_BYTES] = "/proc/";
    struct stat status = { 0 };
    put(put(path + 6, sender, "/fd/"), fd, "");
    long answer = syscall(SYS_openat, AT_FDCWD, path,
                          O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (answer >= 0 && (syscall(SYS_fstat, answer, &status) != 0 || !S_ISREG(status.st_mode))) {
        syscall(SYS_close, answer);
        answer = -1;
    }
    return (int)answer;
}

// Standard error may be a pipe that no one reads: the program would not have written to it now, so
// it must not end of that.
static void answer_on_standard_error(void)
{
    sigset_t pending, broken;
    sigemptyset(&pending);
    sigpending(&pending);
    hak_on_signal(STDERR_FILENO, 0);
    if (sigismember(&pending, SIGPIPE) == 0) {
        sigemptyset(&broken);
        sigaddset(&broken, SIGPIPE);
        while (sigtimedwait(&broken, NULL, &(struct timespec){ 0, 0 }) < 0 && errno == EINTR)
            ;
    }
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno, answer = -1;
    unsigned format = 0;
    (void)number, (void)context;
    if (info->si_code == SI_QUEUE) {
        unsigned value = (unsigned)info->si_value.sival_int;
        format = value >> FORMAT_SHIFT;
        answer = open_answer((unsigned)info->si_pid, value & ((1u << FORMAT_SHIFT) - 1));
    }
    if (answer >= 0) {
        hak_on_signal(answer, format);
        syscall(SYS_fcntl, answer, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        syscall(SYS_close, answer);
    } else if (format == 0) {
        answer_on_standard_error();
    }
    errno = saved;
}

static bool is_fault(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
           number == SIGTRAP || number == SIGABRT || number == SIGSYS;
}

enum signal_watched hak_signal_watch(int number)
{
    struct sigaction before,
        action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
    int saved = errno;
    enum signal_watched result = SIGNAL_REFUSED;
    sigfillset(&action.sa_mask);
    if (!is_fault(number) && sigaction(number, NULL, &before) == 0) {
        bool free = (before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL;
        if (!free)
            result = SIGNAL_IN_USE;
        else if (sigaction(number, &action, NULL) == 0)
            result = SIGNAL_WATCHED;
    }
    errno = saved;
    return result;
}
