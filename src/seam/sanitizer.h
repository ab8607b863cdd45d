// sanitizer.h (seam): what is told to AddressSanitizer, MemorySanitizer and Valgrind about blocks.
//
// Empty in a release build. `block_bytes` is the whole block, `n` what the user asked for: the rest
// stays out of bounds, to the byte.
//
//   sanitize_take(p, n, block_bytes)   p is handed to the user, contents undefined
//   sanitize_take_more(p, n, block_bytes)  the user's block p has n bytes from now on
//   sanitize_give(p, block_bytes)      p came back from the user
//   sanitize_gone(p, bytes)            a mapping of its own came back and will be unmapped
//   sanitize_own(p, bytes)             fresh memory or units: nothing in them is handed out
//   sanitize_disown(p, bytes)          a range is not the allocator's: no mark of an earlier life
//   sanitize_defined(p, n)             the n bytes are zero and initialised
//   sanitize_moved(to, from, bytes)    the kernel moved pages; `from` reads as zero or is gone
//   sanitize_open(p, n) / sanitize_close(p, n)  the allocator itself reads or writes a free block
//   sanitize_foreign(p)                p was freed and is not ours
//   sanitize_fault(p)                  a mistake with p was found; the process ends after this
//
// SANITIZER_ARENA_MAX: the largest arena that the tool's shadow memory allows, in bytes.
#ifndef HAK_SANITIZER_H
#define HAK_SANITIZER_H

#include "../base.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAK_ASAN 1
#endif
#if __has_feature(memory_sanitizer)
#define HAK_MSAN 1
#endif
#if __has_feature(thread_sanitizer)
#define HAK_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAK_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define HAK_TSAN 1
#endif

#if defined(HAK_HEAP_REPORTS)
#include "reports.h"
#define SANITIZER_ARENA_MAX ((size_t)16 << 30)
#define sanitize_take(p, n, block_bytes) hak_reports_took(p, n, block_bytes)
#define sanitize_take_more(p, n, block_bytes) hak_reports_took(p, n, block_bytes)
#define sanitize_give(p, block_bytes) hak_reports_gave(p, block_bytes)
#define sanitize_gone(p, bytes) hak_reports_gone(p, bytes)
#define sanitize_own(p, bytes) hak_reports_own(p, bytes)
#define sanitize_disown(p, bytes) hak_reports_open(p, bytes)
#define sanitize_defined(p, n) ((void)(p), (void)(n))
#define sanitize_moved(to, from, bytes) ((void)(to), (void)(from), (void)(bytes))
#define sanitize_open(p, n) hak_reports_open(p, n)
#define sanitize_close(p, n) hak_reports_own(p, n)
#define sanitize_foreign(p) ((void)(p))
#define sanitize_fault(p) hak_reports_fault(p)
#elif defined(HAK_ASAN)
#include <sanitizer/asan_interface.h>
#define SANITIZER_ARENA_MAX ((size_t)16 << 30)
#define sanitize_take(p, n, block_bytes) \
    (__asan_poison_memory_region(p, block_bytes), __asan_unpoison_memory_region(p, n))
#define sanitize_take_more(p, n, block_bytes) sanitize_take(p, n, block_bytes)
#define sanitize_give(p, block_bytes) __asan_poison_memory_region(p, block_bytes)
#define sanitize_gone(p, bytes) __asan_unpoison_memory_region(p, bytes)
#define sanitize_own(p, bytes) __asan_poison_memory_region(p, bytes)
#define sanitize_disown(p, bytes) __asan_unpoison_memory_region(p, bytes)
#define sanitize_defined(p, n) ((void)(p), (void)(n))
#define sanitize_moved(to, from, bytes) ((void)(to), (void)(from), (void)(bytes))
#define sanitize_open(p, n) __asan_unpoison_memory_region(p, n)
#define sanitize_close(p, n) __asan_poison_memory_region(p, n)
#define sanitize_foreign(p) ((void)(p))
#define sanitize_fault(p) ((void)(p))
#elif defined(HAK_MSAN)
#include <sanitizer/msan_interface.h>
#define SANITIZER_ARENA_MAX ((size_t)16 << 30)
#define sanitize_take(p, n, block_bytes) ((void)(block_bytes), __msan_allocated_memory(p, n))
#define sanitize_take_more(p, n, block_bytes) ((void)(p), (void)(n), (void)(block_bytes))
#define sanitize_give(p, block_bytes) __msan_poison(p, block_bytes)
#define sanitize_gone(p, bytes) __msan_unpoison(p, bytes)
#define sanitize_own(p, bytes) __msan_poison(p, bytes)
#define sanitize_disown(p, bytes) __msan_unpoison(p, bytes)
#define sanitize_defined(p, n) __msan_unpoison(p, n)
#define sanitize_moved(to, from, bytes) \
    (__msan_copy_shadow(to, from, bytes), __msan_unpoison(from, bytes))
#define sanitize_open(p, n) __msan_unpoison(p, n)
#define sanitize_close(p, n) __msan_poison(p, n)
#define sanitize_foreign(p) ((void)(p))
#define sanitize_fault(p) ((void)(p))
#elif defined(HAK_VALGRIND)
#include <valgrind/memcheck.h>

#include <stdbool.h>
#include <stddef.h>
#define SANITIZER_ARENA_MAX ((size_t)8 << 30)
// The kernel's memory behind the user's bytes is out of bounds too.
#define sanitize_take(p, n, block_bytes)                  \
    do {                                                  \
        (void)VALGRIND_MAKE_MEM_NOACCESS(p, block_bytes); \
        VALGRIND_MALLOCLIKE_BLOCK(p, n, 0, 0);            \
    } while (0)
// How many of a block's bytes are accessible: up to an end, behind which none is. Memcheck looks at
// a range byte by byte, so this asks for single ones.
static inline size_t hak_sanitize_accessible(const char *p, size_t block_bytes)
{
    size_t least = 0, most = block_bytes;
    VALGRIND_DISABLE_ERROR_REPORTING;
    while (least < most) {
        size_t middle = least + (most - least) / 2;
        bool accessible = VALGRIND_CHECK_MEM_IS_ADDRESSABLE(p + middle, 1) == 0;
        least = accessible ? middle + 1 : least;
        most = accessible ? most : middle;
    }
    VALGRIND_ENABLE_ERROR_REPORTING;
    return least;
}
// Valgrind knows a block by its address: an end and a new begin. What was accessible becomes
// defined, which forgets that some of it may not be; what is added is not.
#define sanitize_take_more(p, n, block_bytes)                                  \
    do {                                                                       \
        size_t had_ = hak_sanitize_accessible((const char *)(p), block_bytes); \
        VALGRIND_FREELIKE_BLOCK(p, 0);                                         \
        (void)VALGRIND_MAKE_MEM_NOACCESS(p, block_bytes);                      \
        VALGRIND_MALLOCLIKE_BLOCK(p, n, 0, 1);                                 \
        if (had_ < (n))                                                        \
            (void)VALGRIND_MAKE_MEM_UNDEFINED((char *)(p) + had_, (n)-had_);   \
    } while (0)
#define sanitize_give(p, block_bytes)  \
    do {                               \
        (void)(block_bytes);           \
        VALGRIND_FREELIKE_BLOCK(p, 0); \
    } while (0)
#define sanitize_gone(p, bytes) sanitize_give(p, bytes)
#define sanitize_own(p, bytes) VALGRIND_MAKE_MEM_NOACCESS(p, bytes)
#define sanitize_disown(p, bytes) VALGRIND_MAKE_MEM_UNDEFINED(p, bytes)
#define sanitize_defined(p, n) VALGRIND_MAKE_MEM_DEFINED(p, n)
#define sanitize_moved(to, from, bytes) ((void)(to), (void)(from), (void)(bytes))
#define sanitize_open(p, n) VALGRIND_MAKE_MEM_DEFINED(p, n)
#define sanitize_close(p, n) VALGRIND_MAKE_MEM_NOACCESS(p, n)
// Memcheck says what it knows about a pointer that is no block of its.
#define sanitize_foreign(p) VALGRIND_FREELIKE_BLOCK(p, 0)
#define sanitize_fault(p) VALGRIND_FREELIKE_BLOCK(p, 0)
#else
#if defined(HAK_TSAN)
#define SANITIZER_ARENA_MAX ((size_t)16 << 30)
#else
#define SANITIZER_ARENA_MAX SIZE_MAX
#endif
#define sanitize_take(p, n, block_bytes) ((void)(p), (void)(n), (void)(block_bytes))
#define sanitize_take_more(p, n, block_bytes) ((void)(p), (void)(n), (void)(block_bytes))
#define sanitize_give(p, block_bytes) ((void)(p), (void)(block_bytes))
#define sanitize_gone(p, bytes) ((void)(p), (void)(bytes))
#define sanitize_own(p, bytes) ((void)(p), (void)(bytes))
#define sanitize_disown(p, bytes) ((void)(p), (void)(bytes))
#define sanitize_defined(p, n) ((void)(p), (void)(n))
#define sanitize_moved(to, from, bytes) ((void)(to), (void)(from), (void)(bytes))
#define sanitize_open(p, n) ((void)(p), (void)(n))
#define sanitize_close(p, n) ((void)(p), (void)(n))
#define sanitize_foreign(p) ((void)(p))
#define sanitize_fault(p) ((void)(p))
#endif

#endif
