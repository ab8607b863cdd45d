// Frees a variable of a function.
#include "wrong.h"

STEP static void mistake(char *p)
{
    free(p);
}

int main(void)
{
    char here[32] = "not of the heap";
    say_block(here, sizeof here);
    mistake(here);
    return here[0] == 0;
}
