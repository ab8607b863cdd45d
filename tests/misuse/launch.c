// launch.c: runs a program under a preloaded library and writes how it ended, which a shell cannot
// tell exactly (a signal, or an exit status that looks like one).
//
// usage: launch OUTCOME_FILE LIBRARY|'' PROGRAM [ARGUMENT...]
// Writes `signal N`, `exit N` or `timeout`.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 20 };

static pid_t child;

static void kill_child(int signal)
{
    (void)signal;
    kill(child, SIGKILL);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: launch OUTCOME_FILE LIBRARY|'' PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    int out = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) {
        perror(argv[1]);
        return 2;
    }
    child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        if (argv[2][0] != 0)
            setenv("LD_PRELOAD", argv[2], 1);
        execv(argv[3], argv + 3);
        perror(argv[3]);
        _exit(127);
    }
    signal(SIGALRM, kill_child);
    alarm(SECONDS);
    int status;
    while (waitpid(child, &status, 0) != child)
        continue;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        dprintf(out, "timeout\n");
    else if (WIFSIGNALED(status))
        dprintf(out, "signal %d\n", WTERMSIG(status));
    else
        dprintf(out, "exit %d\n", WEXITSTATUS(status));
    return 0;
}
