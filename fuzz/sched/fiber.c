// fiber.c: the context switch and the stacks.
//
//   mapping of one fiber:   | guard | stack, grows down  ............ | top frame |
//                                                                           ^ first stack_pointer
// A switch saves the registers that a called function must keep on the stack of the fiber that it
// leaves, exchanges stack pointers and restores the others' registers. The first switch to a fiber
// finds a frame made by hand, whose return address is fiber_begin.
//
// Invariants: exactly one fiber runs; the stack_pointer of every other prepared fiber points at a
// saved frame. The floating-point control words are the same in all fibers and are not saved.
//
// The owner of a `struct fiber` owns its stack for the life of the process. An overflow of a stack
// hits the guard (overflow.c).
#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#endif
#if defined(FIBER_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(SCHED_TSAN)
#include <errno.h>
#include <sanitizer/tsan_interface.h>
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *p, size_t bytes,
                             const char *why);
#endif
#if defined(HAK_VALGRIND)
#include <valgrind/valgrind.h>
#endif

// Stores the stack pointer in *save and continues at the frame that `load` points at.
void fiber_exchange_stacks(void **save, void *load);

#if defined(__x86_64__)
// rbx, rbp, r12-r15 are the callee's to keep (System V ABI, section 3.2.1).
__asm__(".text\n"
        ".globl fiber_exchange_stacks\n"
        ".hidden fiber_exchange_stacks\n"
        ".type fiber_exchange_stacks, @function\n"
        "fiber_exchange_stacks:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size fiber_exchange_stacks, .-fiber_exchange_stacks\n");
enum { FRAME_WORDS = 8, FRAME_RETURN = 6 }; // six registers, return address, alignment
#elif defined(__aarch64__)
// x19-x30 and d8-d15 are the callee's to keep (AAPCS64, sections 6.1.1 and 6.1.2).
__asm__(".text\n"
        ".globl fiber_exchange_stacks\n"
        ".hidden fiber_exchange_stacks\n"
        ".type fiber_exchange_stacks, %function\n"
        "fiber_exchange_stacks:\n"
        "  sub sp, sp, #160\n"
        "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
        "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
        "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x2, sp\n  str x2, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
        "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
        "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #160\n"
        "  ret\n"
        ".size fiber_exchange_stacks, .-fiber_exchange_stacks\n");
enum { FRAME_WORDS = 20, FRAME_RETURN = 11 }; // x30 is the twelfth word
#else
#error "fiber.c: x86-64 and aarch64 are the processors this was written for"
#endif

#define BEGIN_FRAMES_BYTES ((size_t)4096) // more than fiber_begin and its callee use

static struct fiber *beginning; // handed to fiber_begin by the switch that starts a fiber
static struct fiber *leaving;   // the fiber that the last switch left

static void arrived(struct fiber *f)
{
#if defined(FIBER_ASAN)
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(f->asan_fake_stack, &bottom, &bytes);
    if (leaving->stack == NULL) { // the adopted thread's bounds are known only now
        leaving->stack_bytes = bytes;
        leaving->arg = (void *)(uintptr_t)bottom;
    }
#else
    (void)f;
#endif
}

static void fiber_begin(void)
{
    struct fiber *f = beginning;
    arrived(f);
    f->entry(f->arg);
    abort(); // entry ends by a switch
}

void fiber_adopt(struct fiber *f)
{
    *f = (struct fiber){ 0 };
#if defined(SCHED_TSAN)
    f->tsan_fiber = __tsan_get_current_fiber();
    AnnotateBenignRaceSized(__FILE__, __LINE__, &errno, sizeof errno,
                            "one variable for all fibers; scheduler.c keeps each one's value");
#endif
}

static void map_stack(struct fiber *f)
{
    char *p = mmap(NULL, FIBER_STACK_BYTES + FIBER_GUARD_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, FIBER_GUARD_BYTES, PROT_NONE) != 0) {
        perror("fiber: no memory for a stack");
        exit(2);
    }
    f->stack = p + FIBER_GUARD_BYTES;
    f->stack_bytes = FIBER_STACK_BYTES;
#if defined(SCHED_TSAN)
    f->tsan_fiber = __tsan_create_fiber(0);
#endif
#if defined(HAK_VALGRIND)
    (void)VALGRIND_STACK_REGISTER(f->stack, (char *)f->stack + f->stack_bytes);
#endif
}

void fiber_prepare(struct fiber *f, void (*entry)(void *), void *arg)
{
    if (f->stack == NULL)
        map_stack(f);
#if defined(FIBER_ASAN)
    // Frames that never returned are still marked: all of them, or those of the fiber's own begin.
    size_t marked = f->abandoned ? f->stack_bytes : BEGIN_FRAMES_BYTES;
    __asan_unpoison_memory_region((char *)f->stack + f->stack_bytes - marked, marked);
#endif
    f->abandoned = false;
    f->entry = entry;
    f->arg = arg;
    f->asan_fake_stack = NULL;
    void **frame = (void **)((char *)f->stack + f->stack_bytes) - FRAME_WORDS;
    for (unsigned i = 0; i < FRAME_WORDS; i++)
        frame[i] = NULL;
    frame[FRAME_RETURN] = (void *)(uintptr_t)fiber_begin;
    f->stack_pointer = frame;
    beginning = NULL;
}

bool fiber_is_guard(const struct fiber *f, const void *p)
{
    return f->stack != NULL && (uintptr_t)f->stack - (uintptr_t)p - 1 < FIBER_GUARD_BYTES;
}

void fiber_switch(struct fiber *from, struct fiber *to, bool last)
{
    beginning = to;
    leaving = from;
#if defined(FIBER_ASAN)
    const void *bottom = to->stack != NULL ? to->stack : to->arg;
    __sanitizer_start_switch_fiber(last ? NULL : &from->asan_fake_stack, bottom, to->stack_bytes);
#endif
#if defined(SCHED_TSAN)
    __tsan_switch_to_fiber(to->tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
    (void)last;
    fiber_exchange_stacks(&from->stack_pointer, to->stack_pointer);
    arrived(from);
}
