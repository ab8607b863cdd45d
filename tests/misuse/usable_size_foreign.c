// Asks for the usable size of stack, static or mapped memory.
#include "misuse.h"

static char in_data[64];

int main(int argc, char **argv)
{
    (void)argc;
    char on_stack[64];
    char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *where[] = { on_stack, in_data, mapped };
    return malloc_usable_size(wrong(where[number(argv, 1)])) != 0;
}
