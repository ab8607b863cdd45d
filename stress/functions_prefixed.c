// functions_prefixed.c: what hakmem.h has and the standard names have not.
#define _GNU_SOURCE
#include "functions.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void call_free_sized(void)
{
    hak_free_sized(older, OLDER_BYTES);
    older = NULL;
}

static void call_free_aligned_sized(void)
{
    hak_free_aligned_sized(older, 16, OLDER_BYTES);
    older = NULL;
}

static void call_get_stats(void)
{
    struct hak_stats stats;

    memset(&stats, 0xff, sizeof stats);
    hak_get_stats(&stats);
    function_expect(stats.live_bytes < (uint64_t)1 << 40 && stats.os_failures < 1000, "figures");
    function_expect(older == NULL || stats.live_bytes >= OLDER_BYTES, "live bytes");
}

static void call_get_class_stats(void)
{
    struct hak_class_stats stats;

    function_expect(hak_get_class_stats(0, &stats) && stats.block_bytes > 0, "class 0");
    function_expect(!hak_get_class_stats(100000, &stats), "a class that does not exist");
}

// Calls `print` for a pipe; something must come out, if it has something to say.
static void printed(void (*print)(int fd), bool something)
{
    char text[65536];
    int ends[2];

    function_expect(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
    print(ends[1]);
    function_expect(read(ends[0], text, sizeof text) > 0 || !something, "nothing was printed");
    close(ends[0]);
    close(ends[1]);
}

static void call_print_stats(void)
{
    printed(hak_print_stats, true);
}

static void call_print_stats_json(void)
{
    printed(hak_print_stats_json, true);
}

static void call_print_foreign(void)
{
    printed(hak_print_foreign, false);
}

static void call_audit(void)
{
    struct hak_audit_report audit;

    function_expect(hak_audit(&audit), audit.first_error);
    function_expect(older == NULL || audit.live == 1, "live blocks");
}

static void call_version(void)
{
    function_expect(strchr(hak_version(), '.') != NULL, "version");
}

static void call_thread_flush(void)
{
    hak_thread_flush();
    function_use(hak_malloc(100), 100);
}

const struct function functions_own[] = {
    { "free_sized", call_free_sized },
    { "free_aligned_sized", call_free_aligned_sized },
    { "get_stats", call_get_stats },
    { "get_class_stats", call_get_class_stats },
    { "print_stats", call_print_stats },
    { "print_stats_json", call_print_stats_json },
    { "print_foreign", call_print_foreign },
    { "audit", call_audit },
    { "version", call_version },
    { "thread_flush", call_thread_flush },
    { NULL, NULL },
};
