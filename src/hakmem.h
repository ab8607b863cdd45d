/* hakmem.h: the public interface of the hakmem allocator.
 *
 * The library also defines the standard names (malloc, free, operator new, ...) with the same
 * semantics; include this header only for the prefixed names, the statistics and the audit.
 *
 * Unless said otherwise every function may be called from any thread, also as the first call of
 * the thread or of the process, from constructors, from destructors of thread-specific data and
 * from atexit handlers, and in the child after fork. None may be called from a signal handler, but
 * for those of the statistics.
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

/* ---- statistics ----
 *
 * Counters are written by the threads that they are about, without atomic operations, and summed
 * when they are read. While other threads run, figures are exact one by one (each as some moment
 * left it) and not together. A child of fork goes on from its parent's figures, but for those of
 * page faults, which the kernel counts anew. These functions may also be called in a signal
 * handler; they need 16 KiB of stack. docs/METRICS.md says what each figure tells.
 *
 * Hits are not counted: a hit of malloc or free takes a block from the thread's cache or puts one
 * there, and nothing else. Of each class of each heap the slow paths count the rest, so that with
 *
 *     mallocs = malloc_hits + malloc_misses      (calls that handed out a block)
 *     frees   = free_hits + free_misses          (blocks that came back)
 *
 * these hold exactly, for any class and heap while its thread is not in the allocator:
 *
 *     mallocs - frees = refilled - flushed_own - flushed_remote - cached
 *     malloc_misses, free_misses: counted
 *
 * That is one equation for two numbers: a loop of malloc and free that always hits leaves no trace.
 * So malloc_hits is the least number that is certain (blocks that were gone from the cache when a
 * slow path looked at it again), and free_hits follows from it by the equation. With the option
 * count_hits=1 each malloc counts itself, on a slower path, and both are exact.
 */

/* What went between callers, thread caches and slabs. */
struct hak_flow {
    uint64_t malloc_hits;    /* see above */
    uint64_t malloc_misses;  /* mallocs served by a refill of the cache */
    uint64_t free_hits;      /* see above */
    uint64_t free_misses;    /* frees that found the cache full */
    uint64_t refilled;       /* blocks, slab to cache */
    uint64_t flushed_own;    /* blocks, cache to slabs of the heap itself */
    uint64_t flushed_remote; /* blocks, to slabs of other heaps: remote frees sent */
    uint64_t runs_own;       /* groups of neighbours in which the former went */
    uint64_t runs_remote;    /* and the latter: one atomic operation each */
    uint64_t from_current;   /* slabs that refills took from: the one that the last refill used, */
    uint64_t from_partial;   /* another one of the heap with free blocks, */
    uint64_t from_inbox;     /* one that other threads' frees brought, */
    uint64_t from_empty;     /* new ones from the pool, stage 1: memory that was still committed, */
    uint64_t from_unused;    /* stage 2: of a SuperSlab already begun, */
    uint64_t from_new;       /* stage 3: a SuperSlab was begun for it */
};

/* Of the process. Sums over all heaps, unless said otherwise. */
struct hak_stats {
    uint64_t reserved_bytes;  /* address space of the arena */
    uint64_t committed_bytes; /* of blocks: accessible and not given back */
    uint64_t committed_peak_bytes;
    uint64_t live_bytes;     /* in blocks that are handed out (block sizes) */
    uint64_t cached_bytes;   /* in caches of threads */
    uint64_t empty_bytes;    /* in units free but still committed */
    uint64_t metadata_bytes; /* committed for the allocator's own records */
    uint64_t heaps;          /* created so far: the most threads alive at a time */
    uint64_t heaps_idle;     /* of them without a thread */
    uint64_t superslabs;     /* begun */
    struct hak_flow flow;
    uint64_t count_hits;     /* 1: hits are exact */
    uint64_t failures;       /* mallocs that ended in NULL for want of memory */
    uint64_t slabs_released; /* slabs given back to the pool */
    uint64_t flushes;        /* times that blocks went from a cache to slabs */
    uint64_t remote_freed;   /* blocks freed by a thread that does not own their slab: sent */
    uint64_t remote_drained; /* of them, taken back by owners so far: received */
    uint64_t drains;         /* looks at an inbox */
    uint64_t drained_slabs;  /* slabs found there */
    uint64_t sweeps;         /* idle heaps looked at by threads in want of memory, or at a purge */
    uint64_t adopted;        /* slabs that changed their owner then */
    uint64_t purges;
    uint64_t purged_bytes; /* given back to the system by them */
    uint64_t large_live;   /* blocks */
    uint64_t huge_live;    /* blocks, those outside of the arena included */
    uint64_t mapped_live;  /* huge blocks in mappings of their own */
    uint64_t large_kept;   /* large and huge blocks so far, by where they came from: freed by the */
    uint64_t large_empty;  /* same heap just before; the pool's stage 1, */
    uint64_t large_unused; /* 2 */
    uint64_t large_new;    /* and 3 */
    uint64_t foreign_frees;
    uint64_t os_failures;       /* calls to the system that failed */
    uint64_t page_faults_minor; /* of the whole process, as the kernel counts them */
    uint64_t page_faults_major;
};

/* Of one size class. capacity = live + cached + free + remote. */
struct hak_class_stats {
    uint64_t block_bytes;
    uint64_t slabs;    /* now */
    uint64_t capacity; /* blocks in them */
    uint64_t live;     /* blocks handed out */
    uint64_t cached;   /* blocks in caches of threads */
    uint64_t free;     /* blocks free in their slab */
    uint64_t remote;   /* blocks freed by other threads that the owner has not yet taken back */
    struct hak_flow flow;
};

/* Of one heap: of the thread that has it now and of those that had it before. */
struct hak_heap_stats {
    uint64_t heap;    /* index */
    uint64_t thread;  /* the kernel's id of the thread that has it; 0: idle */
    uint64_t threads; /* that had it so far */
    uint64_t cached_bytes;
    struct hak_flow flow;
    uint64_t failures; /* as in struct hak_stats, from here on */
    uint64_t slabs_released;
    uint64_t flushes;
    uint64_t remote_drained;
    uint64_t drains;
    uint64_t drained_slabs;
    uint64_t sweeps;
    uint64_t adopted;
    uint64_t purges;
    uint64_t purged_bytes;
    uint64_t large_kept;
    uint64_t large_empty;
    uint64_t large_unused;
    uint64_t large_new;
    uint64_t page_faults_minor; /* of its thread, all its life; 0 if it is idle */
    uint64_t page_faults_major;
};

/* Of one lock. An acquisition that gets it at once counts nothing. */
struct hak_lock_stats {
    const char *name;   /* start heaps arena mapped sampled profiled profile metadata */
    uint64_t contended; /* acquisitions that had to wait */
    uint64_t slept;     /* of them, those that asked the kernel to wait */
};

/* Of one retry loop around a compare-and-swap: turns beyond the first. */
struct hak_retry_stats {
    const char *name;
    uint64_t retries;
};

HAK_API void hak_get_stats(struct hak_stats *out) HAK_NOEXCEPT;
/* Classes, heaps, locks and loops are numbered from 0; false beyond the last one. */
HAK_API bool hak_get_class_stats(unsigned index, struct hak_class_stats *out) HAK_NOEXCEPT;
HAK_API bool hak_get_heap_stats(unsigned index, struct hak_heap_stats *out) HAK_NOEXCEPT;
HAK_API bool hak_get_lock_stats(unsigned index, struct hak_lock_stats *out) HAK_NOEXCEPT;
HAK_API bool hak_get_retry_stats(unsigned index, struct hak_retry_stats *out) HAK_NOEXCEPT;

/* Writes all of them to file descriptor `fd`: text, JSON, or CSV (a line for each figure: table,
 * row, name, value) with the same names. Text and CSV leave out classes that were never used, and
 * text says so when it leaves out heaps. */
HAK_API void hak_print_stats(int fd) HAK_NOEXCEPT;
HAK_API void hak_print_stats_json(int fd) HAK_NOEXCEPT;
HAK_API void hak_print_stats_csv(int fd) HAK_NOEXCEPT;
/* Writes the call sites with most frees of foreign pointers, as return addresses. */
HAK_API void hak_print_foreign(int fd) HAK_NOEXCEPT;

/* Writes the allocator's own tables, not the contents of blocks, as an ELF core file, of which
 * hakmem-map draws a picture: about a fiftieth of what is committed. Other threads may work
 * meanwhile. May be called from a signal handler. False: the descriptor refused some of it, or
 * there is nothing yet: this call does not start the allocator. */
HAK_API bool hak_write_map(int fd) HAK_NOEXCEPT;

/* Writes the heap profile in the form of pprof, a message of protocol buffers: for each stack
 * estimates of what it allocated, what of it is live, how long the rest lived, and whether the
 * thread that allocated it freed it. Other threads may work meanwhile. May be called from a signal
 * handler. False: the option `profile` is not set, or the descriptor refused some of it. */
HAK_API bool hak_write_profile(int fd) HAK_NOEXCEPT;

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
