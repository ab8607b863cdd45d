// interpose.h: the allocator below the recorder, and what its two files of names share.
#ifndef TRACE_INTERPOSE_H
#define TRACE_INTERPOSE_H

#include <stdbool.h>
#include <stddef.h>

// The functions of the allocator that the program would use without us: the next definitions in
// the search order of the dynamic linker. `trim` may be NULL.
struct next_allocator {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    size_t (*usable_size)(void *);
    int (*trim)(size_t);
};

// Operators new and delete of the C++ library end in malloc and free, those of another allocator
// need not. So the names of both layers record, and the inner one tells the outer one by these.
struct nested {
    const void *allocated; // the last block that this thread recorded as allocated
    const void *deleting;  // recorded by operator delete: its free is not recorded again
};
extern __thread struct nested nested __attribute__((tls_model("initial-exec")));

#endif
