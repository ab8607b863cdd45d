// support.h: what the unit tests share: cmocka, what went to standard error, and child processes.
//
// Standard error is replaced by a socket that keeps message boundaries, so that a test sees not
// only the text but how many writes it took.
#ifndef HAK_UNIT_SUPPORT_H
#define HAK_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../under.h"

struct capture {
    unsigned writes;
    char text[8192]; // of all writes, one after the other
    int status;      // of a child, as waitpid gives it
    int sockets[2];
    int saved_error;
};

static inline void capture_begin(struct capture *capture)
{
    *capture = (struct capture){ 0 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, capture->sockets), 0);
}

// Collects messages until the other end is closed everywhere.
static inline void capture_collect(struct capture *capture)
{
    close(capture->sockets[1]);
    size_t length = 0;
    for (;;) {
        ssize_t got = recv(capture->sockets[0], capture->text + length,
                           sizeof capture->text - 1 - length, 0);
        if (got <= 0)
            break;
        if (under_qemu() && strncmp(capture->text + length, "qemu: uncaught", 14) == 0) {
            capture->text[length] = 0; // its own last words for a process that aborts
            continue;
        }
        length += (size_t)got;
        capture->writes++;
    }
    capture->text[length] = 0;
    close(capture->sockets[0]);
}

static inline void capture_error_begin(struct capture *capture)
{
    capture_begin(capture);
    capture->saved_error = dup(STDERR_FILENO);
    dup2(capture->sockets[1], STDERR_FILENO);
}

static inline void capture_error_end(struct capture *capture)
{
    dup2(capture->saved_error, STDERR_FILENO);
    close(capture->saved_error);
    capture_collect(capture);
}

// Runs `body` in a child process and takes its standard error and its end.
static inline void run_in_child(struct capture *capture, void (*body)(const void *),
                                const void *argument)
{
    capture_begin(capture);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        // cmocka's handlers would turn the signal into a test failure of the child's own.
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        dup2(capture->sockets[1], STDERR_FILENO);
        body(argument);
        _exit(0);
    }
    capture_collect(capture);
    assert_int_equal(waitpid(child, &capture->status, 0), child);
}

#define assert_aborted(capture) \
    assert_true(WIFSIGNALED((capture)->status) && WTERMSIG((capture)->status) == SIGABRT)
#define assert_exited(capture, code) \
    assert_true(WIFEXITED((capture)->status) && WEXITSTATUS((capture)->status) == (code))

// Ends a child that found something wrong, saying what.
#define CHILD_CHECK(condition)                                                \
    do {                                                                      \
        if (!(condition)) {                                                   \
            static const char failed_text[] = "failed: " #condition "\n";     \
            (void)!write(STDERR_FILENO, failed_text, sizeof failed_text - 1); \
            _exit(1);                                                         \
        }                                                                     \
    } while (0)

// KiB that the process has locked, as the kernel counts them; 0 without /proc.
static inline unsigned long locked_kib(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmLck: %lu", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kib;
}

#endif
