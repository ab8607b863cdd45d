// No mistake: a forked child frees its parent's block, and so does the parent.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = allocate(number(argv, 1));
    pid_t child = fork();
    free(p);
    flush();
    if (child == 0)
        _exit(0);
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}
