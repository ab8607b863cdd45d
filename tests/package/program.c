// program.c: a user of an installed library.
#include <hakmem.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Both names must lead to the library: what malloc gives, hak_free takes, and it is counted.
int main(int argc, char **argv)
{
    char expected[64];
    snprintf(expected, sizeof expected, "%d.%d.%d ", HAKMEM_VERSION_MAJOR, HAKMEM_VERSION_MINOR,
             HAKMEM_VERSION_PATCH);
    if (strncmp(hak_version(), expected, strlen(expected)) != 0)
        return 1;
    struct hak_stats before, after;
    hak_get_stats(&before);
    char *p = malloc(3 << 20);
    hak_get_stats(&after);
    if (p == NULL || after.huge_live + after.large_live != before.huge_live + before.large_live + 1)
        return 2;
    hak_free(p);
    free(hak_malloc((size_t)argc * 100));
    return argv[argc] == NULL ? 0 : 3;
}
