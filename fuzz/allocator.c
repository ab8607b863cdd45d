// allocator.c: hakmem's prefixed functions as a table.
#include "allocator.h"

#include "../src/arena.h"
#include "../src/empty.h"
#include "../src/mapped.h"

static bool covers(const void *p, size_t usable)
{
    size_t offset = (size_t)((uintptr_t)p - (uintptr_t)hak_arena.base);
    if (MITIGATE_EMPTY && usable == 0 && hak_empty_is_live(p))
        return true;
    if (offset < hak_arena.bytes)
        return usable <= hak_arena.bytes - offset;
    return hak_mapped_usable(p) >= usable && hak_mapped_usable(p) > 0;
}

static bool is_mapped(const void *p)
{
    return !hak_arena_has(p) && hak_mapped_usable(p) != 0;
}

const struct allocator allocator_hakmem = {
    .malloc = hak_malloc,
    .calloc = hak_calloc,
    .realloc = hak_realloc,
    .reallocarray = hak_reallocarray,
    .aligned_alloc = hak_aligned_alloc,
    .memalign = hak_memalign,
    .posix_memalign = hak_posix_memalign,
    .valloc = hak_valloc,
    .pvalloc = hak_pvalloc,
    .free = hak_free,
    .free_sized = hak_free_sized,
    .free_aligned_sized = hak_free_aligned_sized,
    .usable_size = hak_malloc_usable_size,
    .trim = hak_malloc_trim,
    .flush = hak_thread_flush,
    .audit = hak_audit,
    .get_stats = hak_get_stats,
    .get_class_stats = hak_get_class_stats,
    .covers = covers,
    .is_mapped = is_mapped,
    .fail_os = os_fault_arm,
    .pause_os = os_fault_pause,
    .os_failed = os_fault_failed,
    .tick = os_fault_tick,
};
