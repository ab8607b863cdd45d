// Writes an instruction that returns into a block of SIZE bytes, and calls it.
#include "misuse.h"

int main(int argc, char **argv)
{
    (void)argc;
    char *p = wrong(allocate(number(argv, 1)));
#if defined(__x86_64__)
    static const unsigned char code[] = { 0xc3 };
#elif defined(__aarch64__)
    static const unsigned char code[] = { 0xc0, 0x03, 0x5f, 0xd6 };
#else
#error "execute.c: how does a function return here?"
#endif
    memcpy(p, code, sizeof code);
    __builtin___clear_cache(p, p + sizeof code);
    ((void (*)(void))p)();
    _exit(0);
}
