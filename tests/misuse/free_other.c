// Frees memory that no allocator gave: WHERE is 0 stack, 1 static data, 2 a mapping, 3 code, 4 a
// low address, 5 a high one.
#include "misuse.h"

static char in_data[64] __attribute__((aligned(16)));

int main(int argc, char **argv)
{
    (void)argc;
    char on_stack[64] __attribute__((aligned(16)));
    char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *where[] = { on_stack,       in_data,    mapped, (char *)(uintptr_t)main,
                      (char *)0x1000, (char *)-16 };
    free(allocate(100));
    free(wrong(where[number(argv, 1)]));
    free(allocate(100));
    flush();
    _exit(0);
}
