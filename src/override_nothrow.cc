// override_nothrow.cc: the nothrow forms of operator new, the only C++ of the library.
//
// The standard has them call the throwing form and return null if it throws, whether std::bad_alloc
// or what a new-handler threw. C cannot catch; hence this file. It links to no C++ runtime: its
// references to one are weak, and where they are null (a C program; a runtime that came later, by
// dlopen) nothing can be caught, so memory is asked for directly and no handler is called.
#include <new>

#include "hakmem.h"

#define OPERATOR HAK_API __attribute__((weak))

extern "C" void *__cxa_begin_catch(void *exception) noexcept;
__asm__(".weak __cxa_begin_catch\n\t.weak __cxa_end_catch\n\t.weak __gxx_personality_v0\n\t"
        ".weak _ZSt9terminatev"); // which clang calls should __cxa_end_catch throw

// Read through a variable that the compiler cannot see through: to it no function is at null.
static bool can_catch()
{
    void *(*begin_catch)(void *) = __cxa_begin_catch;
    __asm__("" : "+r"(begin_catch));
    return begin_catch != nullptr;
}

OPERATOR void *operator new(std::size_t n, const std::nothrow_t &) noexcept
{
    if (!can_catch())
        return hak_malloc(n);
    try {
        return ::operator new(n);
    } catch (...) {
        return nullptr;
    }
}

OPERATOR void *operator new[](std::size_t n, const std::nothrow_t &) noexcept
{
    if (!can_catch())
        return hak_malloc(n);
    try {
        return ::operator new[](n);
    } catch (...) {
        return nullptr;
    }
}

OPERATOR void *operator new(std::size_t n, std::align_val_t align, const std::nothrow_t &) noexcept
{
    if (!can_catch())
        return hak_memalign(static_cast<std::size_t>(align), n);
    try {
        return ::operator new(n, align);
    } catch (...) {
        return nullptr;
    }
}

OPERATOR void *operator new[](std::size_t n, std::align_val_t align,
                              const std::nothrow_t &) noexcept
{
    if (!can_catch())
        return hak_memalign(static_cast<std::size_t>(align), n);
    try {
        return ::operator new[](n, align);
    } catch (...) {
        return nullptr;
    }
}
