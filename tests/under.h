// under.h: tests that run under a tool which stands between them and the kernel: valgrind, qemu.
//
// scripts/run-cmocka puts the words of HAK_TEST_UNDER in front of each program.
#ifndef TESTS_UNDER_H
#define TESTS_UNDER_H

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Between the two memcheck is silent: a test looks on purpose at what nobody may.
#if defined(HAK_VALGRIND)
#include <valgrind/valgrind.h>
#define UNDER_VALGRIND 1
#define REPORTS_OFF VALGRIND_DISABLE_ERROR_REPORTING
#define REPORTS_ON VALGRIND_ENABLE_ERROR_REPORTING
#else
#define UNDER_VALGRIND 0
#define REPORTS_OFF (void)0
#define REPORTS_ON (void)0
#endif

// Of so many rounds, which only make a test more thorough, those that there is time for: what
// Valgrind runs is thirty times slower.
#define ROUNDS_HERE(n) (UNDER_VALGRIND ? ((n) + 9) / 10 : (n))

static inline bool under_a_tool(void)
{
    const char *tool = getenv("HAK_TEST_UNDER");
    return tool != NULL && *tool != 0;
}

// Seconds after which something is taken to hang.
static inline unsigned patience(unsigned seconds)
{
    return under_a_tool() ? 10 * seconds : seconds;
}

// qemu-user keeps an account of mappings of its own and answers some calls from it. Where that
// differs from what a kernel does, a test asks this.
static inline bool under_qemu(void)
{
    return under_a_tool() && strncmp(getenv("HAK_TEST_UNDER"), "qemu", 4) == 0;
}

// The path of this program. (Not /proc/self/exe: whoever opens that under a tool gets the tool.)
static inline char *own_path(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

// Becomes this program again, under the same tool; arguments[0] is the first behind its name, NULL
// ends them. Returns only if that fails.
static inline void exec_self(char *const *arguments)
{
    enum { WORDS_MAX = 32 };
    static char tool[4096];
    char *words[WORDS_MAX + 1];
    unsigned count = 0;
    if (under_a_tool()) {
        strncpy(tool, getenv("HAK_TEST_UNDER"), sizeof tool - 1);
        for (char *w = strtok(tool, " "); w != NULL && count < WORDS_MAX; w = strtok(NULL, " "))
            words[count++] = w;
    }
    words[count++] = own_path();
    while (*arguments != NULL && count < WORDS_MAX)
        words[count++] = *arguments++;
    words[count] = NULL;
    execvp(words[0], words);
}

#endif
