// tls.c (seam): the calling thread's heap.
//
// A thread begins at hak_no_front (heap.c), all of which is empty and full, so that its first
// malloc and its first free both fall into the slow path, which attaches a heap.
#include "tls.h"

extern const struct front hak_no_front;

__thread struct heap *hak_tls_heap = (struct heap *)&hak_no_front;
