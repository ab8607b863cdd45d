/* hakmem.h: the public interface of the hakmem allocator.
 *
 * The library also defines the standard names (malloc, free, operator new, ...) with the same
 * semantics; include this header only for the prefixed names, the statistics and the audit.
 *
 * Unless said otherwise every function may be called from any thread, also as the first call of
 * the thread or of the process, from constructors, from destructors of thread-specific data and
 * from atexit handlers, and in the child after fork. None may be called from a signal handler.
 *
 * Failure: functions that allocate return NULL and set errno to ENOMEM when memory is exhausted,
 * when the request exceeds PTRDIFF_MAX bytes, or when a product overflows. Nothing else changes.
 *
 * Mistakes of the caller that are found (see each function) are reported as one line on standard
 * error, then the process aborts. What is found when, in the release library:
 *   - at once: a free or realloc of an address inside of the arena that no block ever had, of a
 *     large or huge block that is not live or not its start; realloc or usable size of a pointer
 *     that is not ours, or not the start of a block;
 *   - when the thread's cache is flushed (it fills, the thread ends, hak_trim): a block that was
 *     freed twice or is not allocated, and a pointer into the inside of a small block;
 *   - never by the allocator: writes past the end of a block, and a second free of a block that
 *     has been handed out again since.
 */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HAKMEM_VERSION_MAJOR 0
#define HAKMEM_VERSION_MINOR 1
#define HAKMEM_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#define HAK_NOEXCEPT noexcept
#else
#define HAK_NOEXCEPT
#endif

#define HAK_API __attribute__((visibility("default")))
#define HAK_ALLOCATES HAK_API __attribute__((malloc, warn_unused_result))

/* Allocates n bytes, aligned to 16, contents undefined. n == 0 gives a unique pointer. */
HAK_ALLOCATES void *hak_malloc(size_t n) HAK_NOEXCEPT __attribute__((alloc_size(1)));

/* Allocates count * size bytes of zeroes; NULL with ENOMEM if the product overflows. */
HAK_ALLOCATES void *hak_calloc(size_t count, size_t size) HAK_NOEXCEPT
    __attribute__((alloc_size(1, 2)));

/* Changes the size of block p, keeping the first min(old, n) bytes; the block may move. p == NULL
 * allocates. n == 0 with p != NULL frees p and returns NULL (as glibc does). On failure NULL is
 * returned and p stays as it was. */
HAK_API void *hak_realloc(void *p, size_t n) HAK_NOEXCEPT
    __attribute__((warn_unused_result, alloc_size(2)));

/* hak_realloc(p, count * size), NULL with ENOMEM and p unchanged if the product overflows. */
HAK_API void *hak_reallocarray(void *p, size_t count, size_t size) HAK_NOEXCEPT
    __attribute__((warn_unused_result, alloc_size(2, 3)));

/* Frees p; NULL does nothing. Keeps errno. A pointer that is not ours is ignored and counted. */
HAK_API void hak_free(void *p) HAK_NOEXCEPT;

/* Frees p, which was allocated with the given size (and alignment), as in C23. */
HAK_API void hak_free_sized(void *p, size_t n) HAK_NOEXCEPT;
HAK_API void hak_free_aligned_sized(void *p, size_t align, size_t n) HAK_NOEXCEPT;

/* Aligned allocation. `align` is a power of two, else NULL with EINVAL. hak_memalign rounds an
 * `align` that is no power of two up to the next one, as glibc does. */
HAK_ALLOCATES void *hak_aligned_alloc(size_t align, size_t n) HAK_NOEXCEPT
    __attribute__((alloc_size(2)));
HAK_ALLOCATES void *hak_memalign(size_t align, size_t n) HAK_NOEXCEPT
    __attribute__((alloc_size(2)));
/* As POSIX: returns 0, EINVAL (align no power of two or no multiple of sizeof(void *)) or ENOMEM,
 * without touching errno; *out is written on success only. */
HAK_API int hak_posix_memalign(void **out, size_t align, size_t n) HAK_NOEXCEPT;
HAK_ALLOCATES void *hak_valloc(size_t n) HAK_NOEXCEPT;  /* page-aligned */
HAK_ALLOCATES void *hak_pvalloc(size_t n) HAK_NOEXCEPT; /* page-aligned, n rounded up to pages */

/* Bytes that may be used at p, at least what was asked for; 0 for NULL. Not found in time: a
 * pointer to a block that has been freed. */
HAK_API size_t hak_malloc_usable_size(void *p) HAK_NOEXCEPT;

/* Flushes the calling thread's cache, sweeps idle heaps and gives all free memory back to the
 * system, except `pad` bytes. Returns 1 if memory was given back, else 0. */
HAK_API int hak_malloc_trim(size_t pad) HAK_NOEXCEPT;

/* ---- statistics ---- */

/* Sums over all threads. Read while other threads run, they are exact only per counter. */
struct hak_stats {
    uint64_t reserved_bytes;  /* address space of the arena */
    uint64_t committed_bytes; /* of blocks: accessible and not given back */
    uint64_t committed_peak_bytes;
    uint64_t live_bytes;        /* in blocks that are handed out (block sizes) */
    uint64_t cached_bytes;      /* in magazines of threads */
    uint64_t empty_bytes;       /* in units free but still committed */
    uint64_t metadata_bytes;    /* committed for the allocator's own records */
    uint64_t heaps;             /* created so far: the most threads alive at a time */
    uint64_t heaps_idle;        /* of them without a thread */
    uint64_t superslabs;        /* begun */
    uint64_t slabs_from_empty;  /* pool stage 1: units that were still committed */
    uint64_t slabs_from_unused; /* pool stage 2: units of a SuperSlab already begun */
    uint64_t slabs_from_new;    /* pool stage 3: a SuperSlab was begun */
    uint64_t slabs_released;
    uint64_t remote_freed;   /* blocks freed by a thread that does not own their slab */
    uint64_t remote_drained; /* of them, taken back by owners so far */
    uint64_t drains;
    uint64_t sweeps;
    uint64_t adopted; /* slabs that changed their owner in a sweep */
    uint64_t refills;
    uint64_t flushes;
    uint64_t purges;
    uint64_t purged_bytes;
    uint64_t large_live;  /* blocks */
    uint64_t huge_live;   /* blocks, those outside of the arena included */
    uint64_t mapped_live; /* huge blocks in mappings of their own */
    uint64_t foreign_frees;
    uint64_t os_failures;       /* calls to the system that failed */
    uint64_t page_faults_minor; /* of the whole process */
    uint64_t page_faults_major;
};

struct hak_class_stats {
    size_t block_bytes;
    uint64_t slabs;    /* now */
    uint64_t capacity; /* blocks in them */
    uint64_t live;     /* blocks handed out */
    uint64_t cached;   /* blocks in magazines */
    uint64_t refilled; /* blocks so far, slab to magazine */
    uint64_t flushed;  /* blocks so far, magazine to slab */
};

HAK_API void hak_get_stats(struct hak_stats *out) HAK_NOEXCEPT;
/* Size classes are numbered from 0; false beyond the last one. */
HAK_API bool hak_get_class_stats(unsigned index, struct hak_class_stats *out) HAK_NOEXCEPT;

/* Writes statistics to file descriptor `fd`: text, or JSON with the same figures. */
HAK_API void hak_print_stats(int fd) HAK_NOEXCEPT;
HAK_API void hak_print_stats_json(int fd) HAK_NOEXCEPT;
/* Writes the call sites with most frees of foreign pointers, as return addresses. */
HAK_API void hak_print_foreign(int fd) HAK_NOEXCEPT;

/* Writes the allocator's own tables, not the contents of blocks, as an ELF core file, of which
 * hakmem-map draws a picture: about a fiftieth of what is committed. Other threads may work
 * meanwhile. May be called from a signal handler. False: the descriptor refused some of it, or
 * there is nothing yet: this call does not start the allocator. */
HAK_API bool hak_write_map(int fd) HAK_NOEXCEPT;

/* ---- audit ---- */

struct hak_audit_report {
    uint64_t slabs;    /* ACTIVE slabs walked */
    uint64_t capacity; /* blocks in them; capacity = live + cached + free + remote */
    uint64_t live;     /* blocks handed out, of size classes */
    uint64_t cached;
    uint64_t free;
    uint64_t remote;
    uint64_t large;        /* live large blocks */
    uint64_t huge;         /* live huge blocks */
    uint64_t errors;       /* violated invariants */
    char first_error[160]; /* what and where, or "" */
};

/* Walks the whole heap and checks every invariant of every structure. The caller ensures that no
 * other thread is inside of the allocator meanwhile. Returns whether nothing was found. Costs time
 * and scratch memory in proportion to the heap; false with an error text if it cannot get it. */
HAK_API bool hak_audit(struct hak_audit_report *out) HAK_NOEXCEPT;

/* ---- the library itself ---- */

/* "major.minor.patch flavour geometry", for example "0.1.0 release default". */
HAK_API const char *hak_version(void) HAK_NOEXCEPT;
/* Gives the calling thread's cache back, as its end would; it gets a new one when it next needs. */
HAK_API void hak_thread_flush(void) HAK_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
