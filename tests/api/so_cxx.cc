// so_cxx.cc: operators new and delete in all their forms, from a C++ program.
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <csetjmp>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include <cmocka.h>
#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>
}

#include "hakmem.h"

// clang declares these only if told to.
void operator delete(void *p, std::size_t n) noexcept;
void operator delete[](void *p, std::size_t n) noexcept;
void operator delete(void *p, std::size_t n, std::align_val_t align) noexcept;
void operator delete[](void *p, std::size_t n, std::align_val_t align) noexcept;

namespace
{

// Hidden from the compiler, which may otherwise leave out pairs of new and delete.
template <typename T> T opaque(T value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

const std::size_t too_large = PTRDIFF_MAX;
const std::size_t sizes[] = { 0, 1, 16, 100, 1024, 5000, 40000, 300000, 2000000, 9000000 };

std::align_val_t align_of(std::size_t n)
{
    return static_cast<std::align_val_t>(n);
}

bool aligned(const void *p, std::size_t align)
{
    return reinterpret_cast<std::uintptr_t>(p) % align == 0;
}

void use(void *p, std::size_t n, std::size_t align)
{
    assert_non_null(p);
    assert_true(aligned(p, align));
    assert_true(malloc_usable_size(p) >= n);
    std::memset(opaque(p), 0x5a, n);
}

void plain_forms(void **)
{
    for (std::size_t n : sizes) {
        void *p = opaque(::operator new(n));
        use(p, n, 16);
        ::operator delete(p);
        p = opaque(::operator new[](n));
        use(p, n, 16);
        ::operator delete[](p);
        p = opaque(::operator new(n));
        ::operator delete(p, n);
        p = opaque(::operator new[](n));
        ::operator delete[](p, n);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete (nullptr, std::size_t{ 8 });
}

void nothrow_forms(void **)
{
    for (std::size_t n : sizes) {
        void *p = opaque(::operator new(n, std::nothrow));
        use(p, n, 16);
        ::operator delete(p, std::nothrow);
        p = opaque(::operator new[](n, std::nothrow));
        use(p, n, 16);
        ::operator delete[](p, std::nothrow);
    }
}

void aligned_forms(void **)
{
    for (std::size_t align = 1; align <= std::size_t{ 1 } << 22; align *= 2)
        for (std::size_t n : sizes) {
            std::align_val_t a = align_of(align);
            void *p = opaque(::operator new(n, a));
            use(p, n, align);
            ::operator delete(p, a);
            p = opaque(::operator new[](n, a));
            use(p, n, align);
            ::operator delete[](p, a);
            p = opaque(::operator new(n, a, std::nothrow));
            use(p, n, align);
            ::operator delete(p, a, std::nothrow);
            p = opaque(::operator new[](n, a, std::nothrow));
            use(p, n, align);
            ::operator delete[](p, a, std::nothrow);
            p = opaque(::operator new(n, a));
            ::operator delete(p, n, a);
            p = opaque(::operator new[](n, a));
            ::operator delete[](p, n, a);
        }
}

struct alignas(256) wide {
    char bytes[300];
};

void expressions(void **)
{
    auto one = std::make_unique<int>(3);
    auto many = std::make_unique<std::string[]>(1000);
    auto over_aligned = std::make_unique<wide[]>(7);
    assert_true(aligned(over_aligned.get(), 256));
    std::vector<std::string> lines;
    for (int i = 0; i < 20000; i++)
        lines.push_back(std::string(static_cast<std::size_t>(i % 200), 'x'));
    std::thread([moved = std::move(lines)]() mutable { moved.clear(); }).join();
}

template <typename F> bool throws_bad_alloc(F f)
{
    try {
        f();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void failure_throws_bad_alloc(void **)
{
    std::set_new_handler(nullptr);
    std::size_t n = opaque(too_large);
    std::align_val_t a = align_of(64);
    assert_true(throws_bad_alloc([=] { ::operator delete(opaque(::operator new(n))); }));
    assert_true(throws_bad_alloc([=] { ::operator delete[](opaque(::operator new[](n))); }));
    assert_true(throws_bad_alloc([=] { ::operator delete(opaque(::operator new(n, a)), a); }));
    assert_true(throws_bad_alloc([=] { ::operator delete[](opaque(::operator new[](n, a)), a); }));
    assert_true(
        throws_bad_alloc([] { opaque(::operator new(8, align_of(opaque(std::size_t{ 3 })))); }));
    assert_null(opaque(::operator new(n, std::nothrow)));
    assert_null(opaque(::operator new[](n, std::nothrow)));
    assert_null(opaque(::operator new(n, a, std::nothrow)));
    assert_null(opaque(::operator new[](n, a, std::nothrow)));
}

// ---- the new-handler ----

int handler_calls;

void handler_that_gives_up()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

void handler_that_throws()
{
    handler_calls++;
    throw std::runtime_error("no more");
}

struct own_bad_alloc : std::bad_alloc {
};

void handler_that_throws_bad_alloc()
{
    handler_calls++;
    throw own_bad_alloc();
}

template <typename F> void expect_three_calls(F f)
{
    handler_calls = 0;
    std::set_new_handler(handler_that_gives_up);
    f();
    assert_int_equal(handler_calls, 3);
    assert_null(reinterpret_cast<void *>(std::get_new_handler()));
}

void handler_is_called_until_it_is_null(void **)
{
    std::size_t n = opaque(too_large);
    std::align_val_t a = align_of(4096);
    expect_three_calls([=] { assert_true(throws_bad_alloc([=] { opaque(::operator new(n)); })); });
    expect_three_calls(
        [=] { assert_true(throws_bad_alloc([=] { opaque(::operator new[](n)); })); });
    expect_three_calls(
        [=] { assert_true(throws_bad_alloc([=] { opaque(::operator new(n, a)); })); });
    expect_three_calls([=] { assert_null(opaque(::operator new(n, std::nothrow))); });
    expect_three_calls([=] { assert_null(opaque(::operator new[](n, std::nothrow))); });
    expect_three_calls([=] { assert_null(opaque(::operator new[](n, a, std::nothrow))); });
}

void what_a_handler_throws_comes_through(void **)
{
    std::size_t n = opaque(too_large);
    std::set_new_handler(handler_that_throws);
    handler_calls = 0;
    bool caught = false;
    try {
        ::operator delete(opaque(::operator new(n)));
    } catch (const std::runtime_error &error) {
        caught = std::strcmp(error.what(), "no more") == 0;
    }
    assert_true(caught);
    std::set_new_handler(handler_that_throws_bad_alloc);
    caught = false;
    try {
        ::operator delete[](opaque(::operator new[](n, align_of(32))), align_of(32));
    } catch (const own_bad_alloc &) {
        caught = true;
    }
    assert_true(caught);
    assert_int_equal(handler_calls, 2);
    std::set_new_handler(nullptr);
}

void nothrow_forms_catch_what_a_handler_throws(void **)
{
    std::size_t n = opaque(too_large);
    std::align_val_t a = align_of(128);
    handler_calls = 0;
    std::set_new_handler(handler_that_throws);
    assert_null(opaque(::operator new(n, std::nothrow)));
    assert_null(opaque(::operator new[](n, std::nothrow)));
    std::set_new_handler(handler_that_throws_bad_alloc);
    assert_null(opaque(::operator new(n, a, std::nothrow)));
    assert_null(opaque(::operator new[](n, a, std::nothrow)));
    assert_int_equal(handler_calls, 4);
    std::set_new_handler(nullptr);
}

// A noexcept caller without any handler above it: the search must end at the operator.
void nothrow_in_a_noexcept_caller(void **)
{
    std::size_t n = opaque(too_large);
    std::set_new_handler(handler_that_throws);
    void *p = &n;
    std::thread([n, &p]() noexcept { p = opaque(::operator new(n, std::nothrow)); }).join();
    std::set_new_handler(nullptr);
    assert_null(p);
}

void operators_and_malloc_are_one(void **)
{
    Dl_info info;
    assert_true(dladdr(dlsym(RTLD_DEFAULT, "_Znwm"), &info) != 0);
    assert_non_null(std::strstr(info.dli_fname, "libhakmem"));
    struct hak_stats before, after;
    hak_get_stats(&before);
    for (int i = 0; i < 1000; i++)
        ::operator delete(opaque(::operator new(500)));
    std::string(5000, 'x').swap(*std::make_unique<std::string>(300, 'y'));
    hak_get_stats(&after);
    assert_int_equal(after.foreign_frees, before.foreign_frees);
    assert_int_equal(after.live_bytes, before.live_bytes);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_forms),
        cmocka_unit_test(nothrow_forms),
        cmocka_unit_test(aligned_forms),
        cmocka_unit_test(expressions),
        cmocka_unit_test(failure_throws_bad_alloc),
        cmocka_unit_test(handler_is_called_until_it_is_null),
        cmocka_unit_test(what_a_handler_throws_comes_through),
        cmocka_unit_test(nothrow_forms_catch_what_a_handler_throws),
        cmocka_unit_test(nothrow_in_a_noexcept_caller),
        cmocka_unit_test(operators_and_malloc_are_one),
    };
    return cmocka_run_group_tests_name("api_so_cxx", tests, nullptr, nullptr);
}
