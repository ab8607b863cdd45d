// tls.c (seam): the calling thread's heap.
//
// A thread begins at hak_no_heap (heap.c), whose magazines are both empty and full, so that its
// first malloc and its first free both fall into the slow path, which attaches a heap.
#include "tls.h"

extern struct heap hak_no_heap;

__thread struct heap *hak_tls_heap = &hak_no_heap;
