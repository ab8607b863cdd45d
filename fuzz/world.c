// world.c: the allocator's variables, its thread's word, and what it has of the system.
#include "world.h"

#include <seam/tls.h>

#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"
#include "sched/pristine.h"

extern const struct front hak_no_front;

void world_reset(void)
{
    if (!pristine_restore()) {
        fprintf(stderr, "world: out of memory\n");
        exit(2);
    }
    tls_set_heap((struct heap *)&hak_no_front);
    os_fault_reset();
}
