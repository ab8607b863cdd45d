// launch.c: runs a command with a library preloaded and reports it as the other programs do.
//
//   launch [--require=SO] COMMAND [ARGUMENT]...
//
// A process inherits the peak size of the one that started it, so the runner, which is large, does
// not start commands itself. SO is preloaded into the command only; the report fails unless SO is
// found among the command's mappings (LD_PRELOAD only warns when it cannot load a library). One
// that ended before its mappings were looked at is asked for what it loads, as ldd does.
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char prefix[] = "--require=";

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

// Whether a mapping of the process is of the file at that path.
static int maps_library(pid_t pid, const char *path)
{
    char name[64], line[8192];
    snprintf(name, sizeof name, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(name, "re");
    int found = 0;
    while (maps && !found && fgets(line, sizeof line, maps)) {
        char *file = strchr(line, '/');
        line[strcspn(line, "\n")] = 0;
        found = file && strcmp(file, path) == 0;
    }
    if (maps)
        fclose(maps);
    return found;
}

// Whether the loader says that the command loads the library at that path.
static int loads_library(char **command, const char *path)
{
    int ends[2];
    char line[8192], wanted[4200];
    int found = 0;
    if (pipe(ends))
        bench_die("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    if (pid == 0) {
        if (dup2(ends[1], STDOUT_FILENO) < 0 || setenv("LD_PRELOAD", path, 1) ||
            setenv("LD_TRACE_LOADED_OBJECTS", "1", 1))
            _exit(126);
        close(ends[0]);
        execvp(command[0], command);
        _exit(127);
    }
    close(ends[1]);
    snprintf(wanted, sizeof wanted, "\t%s (0x", path);
    FILE *objects = fdopen(ends[0], "r");
    while (objects && fgets(line, sizeof line, objects))
        found |= strncmp(line, wanted, strlen(wanted)) == 0;
    if (objects)
        fclose(objects);
    waitpid(pid, NULL, 0);
    return found;
}

static __attribute__((noreturn)) void become(char **command, const char *library)
{
    if (library && setenv("LD_PRELOAD", library, 1))
        _exit(126);
    execvp(command[0], command);
    fprintf(stderr, "launch: %s: %s\n", command[0], strerror(errno));
    _exit(127);
}

static void check_end(const char *command, int status)
{
    if (WIFSIGNALED(status))
        bench_die("%s: killed by signal %d (%s)", command, WTERMSIG(status),
                  strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0)
        bench_die("%s: exit status %d", command, WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    const char *library = NULL;
    char resolved[4096];
    if (argc > 1 && strncmp(argv[1], prefix, sizeof prefix - 1) == 0) {
        library = argv[1] + sizeof prefix - 1;
        if (!realpath(library, resolved))
            bench_die("%s: %s", library, strerror(errno));
        argv++, argc--;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: launch [--require=SO] COMMAND [ARGUMENT]...\n");
        return 2;
    }
    struct timespec begin, end, pause = { 0, 500000 };
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    if (pid == 0)
        become(argv + 1, library);
    int status = 0, seen = !library;
    struct rusage use;
    pid_t ended = 0;
    while (!seen && !ended) {
        seen = maps_library(pid, resolved);
        nanosleep(&pause, NULL);
        ended = wait4(pid, &status, WNOHANG, &use);
    }
    if (!ended && wait4(pid, &status, 0, &use) < 0)
        bench_die("wait4: %s", strerror(errno));
    clock_gettime(CLOCK_MONOTONIC, &end);
    check_end(argv[1], status);
    if (!seen && !loads_library(argv + 1, resolved))
        bench_die("%s ran without %s", argv[1], resolved);
    printf("{\"name\":\"launch\",\"ops\":1,\"seconds\":%.6f,\"cpu\":%.6f,\"rss_kb\":%ld,"
           "\"checksum\":\"\"}\n",
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9,
           seconds_of(use.ru_utime) + seconds_of(use.ru_stime), use.ru_maxrss);
}
