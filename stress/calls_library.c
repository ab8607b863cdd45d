// calls_library.c: a shared library whose constructor and destructor call the allocator.
//
// Loaded by calls.c. The program exports stress_library_event, so that the calls happen while the
// dynamic linker runs this library's constructor or destructor.
#include <stdbool.h>

void stress_library_event(bool constructor);

__attribute__((constructor)) static void at_load(void)
{
    stress_library_event(true);
}

__attribute__((destructor)) static void at_unload(void)
{
    stress_library_event(false);
}
