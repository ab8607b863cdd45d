// Looks for pages of the library's own data that cannot be written to: exits with 5 if there are
// none. What the loader protects after relocation does not count.
#include "misuse.h"

#include <link.h>

static uintptr_t begin, end; // of the library's writable data, as linked

static int visit(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size, (void)argument;
    uintptr_t relocated = 0;
    if (strstr(info->dlpi_name, "libhakmem") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + h->p_vaddr;
        if (h->p_type == PT_GNU_RELRO)
            relocated = at + h->p_memsz;
        if (h->p_type == PT_LOAD && (h->p_flags & PF_W) != 0)
            begin = at, end = at + h->p_memsz;
    }
    if (relocated > begin)
        begin = relocated;
    return 1;
}

int main(void)
{
    char line[512];
    int sealed = 0;
    free(allocate(100));
    dl_iterate_phdr(visit, NULL);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from, to;
        char access[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, access) == 3 && from < end && to > begin)
            sealed += from >= begin && access[1] != 'w';
    }
    _exit(begin == 0 ? 3 : sealed != 0 ? 0 : 5);
}
