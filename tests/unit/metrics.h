// metrics.h: what the tests of counters share. Each begins a process of its own. Most sequences are
// those of the release library: mitigations change who waits where.
#ifndef TESTS_METRICS_H
#define TESTS_METRICS_H

#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "hakmem.h"

// Without purges: a trim would flush behind the test's back.
#define STILL "purge_delay_ms=3600000"

// In a child: its first call, with these options.
static inline void start(const char *options)
{
    setenv("HAKMEM_OPTIONS", options, 1);
    hak_free(hak_malloc(1));
}

static inline void in_child(void (*body)(const void *))
{
    struct capture capture;
    run_in_child(&capture, body, NULL);
    if (!WIFEXITED(capture.status) || WEXITSTATUS(capture.status) != 0)
        fail_msg("%s", capture.text);
}

#define IN_CHILD(body)                    \
    static void test_##body(void **state) \
    {                                     \
        (void)state;                      \
        in_child(body);                   \
    }

// A sequence of the release library's.
#define IN_RELEASE(body)                  \
    static void test_##body(void **state) \
    {                                     \
        (void)state;                      \
        if (HAK_MITIGATIONS != 0)         \
            skip();                       \
        in_child(body);                   \
    }

#endif
