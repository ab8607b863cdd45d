// peer.h: maps the prefixed interface to the standard names when LOAD_PEER is 1.
//
// So the very same loads run on any allocator that is preloaded. What peers do not have (audit,
// statistics) is asked only behind `if (!LOAD_PEER)`.
#ifndef STRESS_PEER_H
#define STRESS_PEER_H

#ifndef LOAD_PEER
#define LOAD_PEER 0
#endif

#if LOAD_PEER
#include <malloc.h>
#include <stdlib.h>

#define hak_malloc malloc
#define hak_calloc calloc
#define hak_realloc realloc
#define hak_reallocarray reallocarray
#define hak_free free
#define hak_free_sized(p, n) ((void)(n), free(p))
#define hak_free_aligned_sized(p, align, n) ((void)(align), (void)(n), free(p))
#define hak_aligned_alloc aligned_alloc
#define hak_memalign memalign
#define hak_posix_memalign posix_memalign
#define hak_valloc valloc
#define hak_pvalloc pvalloc
#define hak_malloc_usable_size malloc_usable_size
#define hak_malloc_trim malloc_trim
#endif

#endif
