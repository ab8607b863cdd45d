// witness.c: preloaded beside the library that is tested; each process says where its malloc is.
//
// Appends a line `EXECUTABLE FILE` to the file $REAL_WITNESS, before the program's main. FILE is
// the library whose malloc this process's calls reach. tests/real/run judges by it whether a run
// was one with the library at all.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// The first library in the order of search that defines malloc.
static const char *first_library(void)
{
    for (struct link_map *map = _r_debug.r_map->l_next; map != NULL; map = map->l_next) {
        void *handle = dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
        void *function = handle == NULL ? NULL : dlsym(handle, "malloc");
        struct link_map *found = NULL;
        Dl_info info;
        // dlsym looks at what the library needs, too.
        if (function != NULL && dladdr1(function, &info, (void **)&found, RTLD_DL_LINKMAP) != 0 &&
            found == map)
            return map->l_name;
    }
    return "nowhere";
}

// An executable that is not position-independent and uses malloc's address has a symbol of that
// name which is no definition: its way to the real one.
static const char *file_of_malloc(void)
{
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    const ElfW(Sym) *symbol = NULL;
    Dl_info info;
    if (function == NULL || dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) == 0)
        return "nowhere";
    return symbol != NULL && symbol->st_shndx == SHN_UNDEF ? first_library() : info.dli_fname;
}

static void __attribute__((constructor)) tell(void)
{
    const char *path = getenv("REAL_WITNESS");
    char executable[PATH_MAX] = "?";
    char line[2 * PATH_MAX];
    if (path == NULL)
        return;
    ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
    if (length > 0)
        executable[length] = 0;
    int size = snprintf(line, sizeof line, "%s %s\n", executable, file_of_malloc());
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)size) != size)
        abort();
    close(fd);
}
