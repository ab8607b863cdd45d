// so_cxx_replace.cc: a program that replaces the plain operators new and delete only. The standard
// has every other form call these, also where ours is what it calls.
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

extern "C" {
#include <cmocka.h>
}

// That the sized form is not replaced is the point.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#endif

// clang declares these only if told to.
void operator delete(void *p, std::size_t n) noexcept;
void operator delete[](void *p, std::size_t n) noexcept;

namespace
{

unsigned news, deletes;
bool refuse;

template <typename T> T opaque(T value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

} // namespace

void *operator new(std::size_t n)
{
    news++;
    void *p = refuse ? nullptr : std::malloc(n);
    if (p == nullptr)
        throw std::bad_alloc();
    return p;
}

void operator delete(void *p) noexcept
{
    deletes++;
    std::free(p);
}

namespace
{

void every_form_reaches_the_replaced_ones(void **)
{
    news = deletes = 0;
    ::operator delete(opaque(::operator new(10)));
    assert_int_equal(news, 1);
    assert_int_equal(deletes, 1);
    ::operator delete[](opaque(::operator new[](10)));
    assert_int_equal(news, 2);
    assert_int_equal(deletes, 2);
    ::operator delete(opaque(::operator new(10, std::nothrow)), std::nothrow);
    assert_int_equal(news, 3);
    assert_int_equal(deletes, 3);
    ::operator delete[](opaque(::operator new[](10, std::nothrow)), std::nothrow);
    assert_int_equal(news, 4);
    assert_int_equal(deletes, 4);
    ::operator delete (opaque(::operator new(10)), std::size_t{ 10 });
    assert_int_equal(deletes, 5);
    ::operator delete[](opaque(::operator new[](10)), std::size_t{ 10 });
    assert_int_equal(deletes, 6);
}

void nothrow_catches_the_replaced_ones_exception(void **)
{
    refuse = true;
    void *p = opaque(::operator new(10, std::nothrow));
    void *q = opaque(::operator new[](10, std::nothrow));
    refuse = false;
    assert_null(p);
    assert_null(q);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_reaches_the_replaced_ones),
        cmocka_unit_test(nothrow_catches_the_replaced_ones_exception),
    };
    return cmocka_run_group_tests_name("api_so_cxx_replace", tests, nullptr, nullptr);
}
