// sanitizer.h (seam): what is told to AddressSanitizer, MemorySanitizer and Valgrind about blocks.
//
// Empty in a release build. `block_bytes` is the whole block, `n` what the user asked for: the rest
// stays out of bounds, to the byte.
//
//   sanitize_take(p, n, block_bytes)   p is handed to the user, contents undefined
//   sanitize_take_more(p, n, block_bytes)  the user's block p has n bytes from now on
//   sanitize_give(p, block_bytes)      p came back from the user
//   sanitize_gone(p, bytes)            a mapping of its own came back and will be unmapped
//   sanitize_own(p, bytes)             fresh units become a slab: nothing in them is handed out
//   sanitize_disown(p, bytes)          a range leaves the allocator's care (before os_release)
//   sanitize_defined(p, n)             the n bytes are zero and initialised
//   sanitize_moved(to, from, bytes)    the kernel moved pages; `from` reads as zero or is gone
//   sanitize_open(p, n) / sanitize_close(p, n)  the allocator itself reads or writes a free block
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

#if defined(HAK_ASAN)
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
#elif defined(HAK_VALGRIND)
#include <valgrind/memcheck.h>
#define SANITIZER_ARENA_MAX ((size_t)8 << 30)
#define sanitize_take(p, n, block_bytes)       \
    do {                                       \
        (void)(block_bytes);                   \
        VALGRIND_MALLOCLIKE_BLOCK(p, n, 0, 0); \
    } while (0)
// Valgrind knows a block by its address: an end and a new begin, its contents defined.
#define sanitize_take_more(p, n, block_bytes)  \
    do {                                       \
        (void)(block_bytes);                   \
        VALGRIND_FREELIKE_BLOCK(p, 0);         \
        VALGRIND_MALLOCLIKE_BLOCK(p, n, 0, 1); \
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
#endif

#endif
