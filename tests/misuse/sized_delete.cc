// Deletes a block of SIZE bytes as one of WRONG bytes, with C++14's sized operator.
#include "misuse.h"

#include <new>

int main(int argc, char **argv)
{
    (void)argc;
    void *p = wrong(::operator new(number(argv, 1)));
    ::operator delete(p, number(argv, 2));
    _exit(0);
}
