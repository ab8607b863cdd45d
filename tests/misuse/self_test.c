// Not a misuse: ends as told, so that ./run can prove that it tells right from wrong.
#include "misuse.h"

#include <signal.h>

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    wrong((void *)0x1230);
    dprintf(2, "%s", argv[1]); // the message
    if (strcmp(argv[2], "signal") == 0)
        raise(atoi(argv[3]));
    return atoi(argv[3]);
}
