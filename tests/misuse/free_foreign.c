// Frees stack, static and mapped memory: ignored and counted, the program lives.
#include "misuse.h"

static char in_data[64];

int main(void)
{
    char on_stack[64];
    char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    free(wrong(on_stack));
    free(wrong(in_data));
    free(wrong(mapped));
    free(wrong((char *)0x1000));
    free(wrong((char *)-16));
    memset(mapped, 1, 4096);
    free(allocate(100));
    flush();
    return 0;
}
