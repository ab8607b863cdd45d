// Frees an address at an edge of the arena: WHICH is 0 just below it, 1 its last 16 bytes, 2 just
// behind it. Exits with 3 if it cannot find the arena, which is as long as the statistics say: once
// in some hundred starts a neighbour hides its edge, so it starts itself once more before.
#include "misuse.h"

#include <hakmem.h>

__attribute__((weak)) void hak_get_stats(struct hak_stats *out);

// The one range of so many bytes that begins and ends with a mapping and has no hole.
static char *find_arena(const char *block, size_t bytes)
{
    enum { LINES = 4096 };
    static uintptr_t begin[LINES], end[LINES];
    size_t lines = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (lines < LINES && fgets(line, sizeof line, maps) != NULL)
        lines += sscanf(line, "%lx-%lx", &begin[lines], &end[lines]) == 2;
    for (size_t i = 0; i < lines; i++)
        for (size_t j = i; j < lines && (j == i || begin[j] == end[j - 1]); j++)
            if (end[j] - begin[i] == bytes && begin[i] <= (uintptr_t)block &&
                (uintptr_t)block < end[j])
                return (char *)begin[i];
    return NULL;
}

int main(int argc, char **argv)
{
    struct hak_stats stats;
    char *p = allocate(100);
    hak_get_stats(&stats);
    char *arena = find_arena(p, stats.reserved_bytes);
    if (arena == NULL) {
        if (argc == 2)
            execl("/proc/self/exe", argv[0], argv[1], "again", (char *)NULL);
        _exit(3);
    }
    char *where[] = { arena - 16, arena + stats.reserved_bytes - 16, arena + stats.reserved_bytes };
    free(wrong(where[number(argv, 1)]));
    free(allocate(100));
    flush();
    _exit(0);
}
