// inject.c: the wrapped functions of src/seam/os.h. See inject.h.
//
// A failure is what the seam promises: false or NULL, and nothing changed.
#include "inject.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "../src/seam/os.h"

static _Atomic unsigned rate;
static _Atomic uint64_t draws, failures;

void *__real_hak_os_reserve(size_t bytes, size_t align);
bool __real_hak_os_commit(void *p, size_t bytes);
bool __real_hak_os_decommit(void *p, size_t bytes);
bool __real_hak_os_release(void *p, size_t bytes);
bool __real_hak_os_move(void *to, void *from, size_t bytes);
void *__real_hak_os_extend(void *p, size_t old_bytes, size_t new_bytes);
bool __real_hak_os_protect_none(void *p, size_t bytes);
bool __real_hak_os_hide(void *p, size_t bytes);
void *__real_hak_os_stow(void *p, size_t bytes);
bool __real_hak_os_unstow(void *p, void *stowed, size_t bytes);
bool __real_hak_os_unstow_none(void *stowed, size_t bytes);
void *__wrap_hak_os_reserve(size_t bytes, size_t align);
bool __wrap_hak_os_commit(void *p, size_t bytes);
bool __wrap_hak_os_decommit(void *p, size_t bytes);
bool __wrap_hak_os_release(void *p, size_t bytes);
bool __wrap_hak_os_move(void *to, void *from, size_t bytes);
void *__wrap_hak_os_extend(void *p, size_t old_bytes, size_t new_bytes);
bool __wrap_hak_os_protect_none(void *p, size_t bytes);
bool __wrap_hak_os_hide(void *p, size_t bytes);
void *__wrap_hak_os_stow(void *p, size_t bytes);
bool __wrap_hak_os_unstow(void *p, void *stowed, size_t bytes);
bool __wrap_hak_os_unstow_none(void *stowed, size_t bytes);

void inject_failures(unsigned one_in, uint64_t seed)
{
    atomic_store(&draws, seed);
    atomic_store(&rate, one_in);
}

uint64_t inject_count(void)
{
    return atomic_load(&failures);
}

// The n-th call of the process gets the n-th number of the seed (the mixer of splitmix64).
// Relaxed, so that it orders nothing between the threads of the allocator.
static bool fails(void)
{
    unsigned one_in = atomic_load_explicit(&rate, memory_order_relaxed);
    uint64_t z;

    if (one_in == 0)
        return false;
    z = atomic_fetch_add_explicit(&draws, 0x9e3779b97f4a7c15u, memory_order_relaxed);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    if ((z ^ (z >> 31)) % one_in != 0)
        return false;
    atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
    return true;
}

void *__wrap_hak_os_reserve(size_t bytes, size_t align)
{
    return fails() ? NULL : __real_hak_os_reserve(bytes, align);
}

bool __wrap_hak_os_commit(void *p, size_t bytes)
{
    return !fails() && __real_hak_os_commit(p, bytes);
}

bool __wrap_hak_os_decommit(void *p, size_t bytes)
{
    return !fails() && __real_hak_os_decommit(p, bytes);
}

bool __wrap_hak_os_release(void *p, size_t bytes)
{
    return !fails() && __real_hak_os_release(p, bytes);
}

bool __wrap_hak_os_move(void *to, void *from, size_t bytes)
{
    return !fails() && __real_hak_os_move(to, from, bytes);
}

void *__wrap_hak_os_extend(void *p, size_t old_bytes, size_t new_bytes)
{
    return fails() ? NULL : __real_hak_os_extend(p, old_bytes, new_bytes);
}

bool __wrap_hak_os_protect_none(void *p, size_t bytes)
{
    return !fails() && __real_hak_os_protect_none(p, bytes);
}

bool __wrap_hak_os_hide(void *p, size_t bytes)
{
    return !fails() && __real_hak_os_hide(p, bytes);
}

void *__wrap_hak_os_stow(void *p, size_t bytes)
{
    return fails() ? NULL : __real_hak_os_stow(p, bytes);
}

// What cannot be moved back is gone.
bool __wrap_hak_os_unstow(void *p, void *stowed, size_t bytes)
{
    if (!fails())
        return __real_hak_os_unstow(p, stowed, bytes);
    (void)__real_hak_os_unstow_none(stowed, bytes);
    return false;
}

bool __wrap_hak_os_unstow_none(void *stowed, size_t bytes)
{
    return !fails() && __real_hak_os_unstow_none(stowed, bytes);
}
