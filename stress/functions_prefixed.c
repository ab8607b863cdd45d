// functions_prefixed.c: what hakmem.h has and the standard names have not.
#define _GNU_SOURCE
#include "functions.h"

#include <string.h>
#include <sys/mman.h>
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

// Before the first call of all there is no heap.
static void call_get_heap_stats(void)
{
    struct hak_heap_stats stats;
    bool found = hak_get_heap_stats(0, &stats);

    function_expect(found ? stats.heap == 0 && stats.threads > 0 : older == NULL, "heap 0");
    function_expect(!hak_get_heap_stats(UINT32_MAX, &stats), "a heap that does not exist");
}

static void call_get_lock_stats(void)
{
    struct hak_lock_stats stats;

    function_expect(hak_get_lock_stats(0, &stats) && stats.slept <= stats.contended, "lock 0");
    function_expect(!hak_get_lock_stats(1000, &stats), "a lock that does not exist");
}

static void call_get_retry_stats(void)
{
    struct hak_retry_stats stats;

    function_expect(hak_get_retry_stats(0, &stats) && stats.name[0] != 0, "loop 0");
    function_expect(!hak_get_retry_stats(1000, &stats), "a loop that does not exist");
}

static int open_file(void)
{
    int fd = memfd_create("stress", MFD_CLOEXEC);

    function_expect(fd >= 0, "memfd_create");
    return fd;
}

// Something must have been written, if there was something to say.
static void close_file(int fd, bool something)
{
    function_expect(lseek(fd, 0, SEEK_END) > 0 || !something, "nothing was printed");
    close(fd);
}

static void printed(void (*print)(int fd), bool something)
{
    int fd = open_file();

    print(fd);
    close_file(fd, something);
}

static void call_print_stats(void)
{
    printed(hak_print_stats, true);
}

static void call_print_stats_json(void)
{
    printed(hak_print_stats_json, true);
}

static void call_print_stats_csv(void)
{
    printed(hak_print_stats_csv, true);
}

static void call_print_foreign(void)
{
    printed(hak_print_foreign, false);
}

static void call_write_map(void)
{
    int fd = open_file();
    bool written = hak_write_map(fd);

    function_expect(written || older == NULL, "it could not be written");
    close_file(fd, written);
}

// Nothing unless the option is set.
static void call_write_profile(void)
{
    int fd = open_file();

    close_file(fd, hak_write_profile(fd));
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
    { "get_heap_stats", call_get_heap_stats },
    { "get_lock_stats", call_get_lock_stats },
    { "get_retry_stats", call_get_retry_stats },
    { "print_stats", call_print_stats },
    { "print_stats_json", call_print_stats_json },
    { "print_stats_csv", call_print_stats_csv },
    { "print_foreign", call_print_foreign },
    { "write_map", call_write_map },
    { "write_profile", call_write_profile },
    { "audit", call_audit },
    { "version", call_version },
    { "thread_flush", call_thread_flush },
    { NULL, NULL },
};
