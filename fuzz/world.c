// world.c: the allocator's variables, its thread's word, and what it has of the system.
#include "world.h"

#include <seam/tls.h>

#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"
#include "sched/pristine.h"

extern struct heap hak_no_heap;

void world_reset(void)
{
    if (!pristine_restore()) {
        fprintf(stderr, "world: out of memory\n");
        exit(2);
    }
    tls_set_heap(&hak_no_heap);
    os_fault_reset();
}
