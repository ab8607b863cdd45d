// stack.c (seam): stacks by way of the C library's unwinder, which finds frames without pointers to
// them. Its first use loads a library and allocates; later ones do neither.
#define _GNU_SOURCE 1
#include "stack.h"

#include <seam/sanitizer.h>

#include "os.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sigaction before; // written once, before the handler is set

void hak_stack_start(void)
{
    void *frame;
    int saved = errno;
    (void)backtrace(&frame, 1);
    errno = saved;
}

__attribute__((noinline)) uint32_t hak_stack_take(void **frames, uint32_t count_max)
{
    int saved = errno;
    int count = backtrace(frames, (int)count_max);
    errno = saved;
    return count > 0 ? (uint32_t)count : 0;
}

// Of glibc 2.35 on: without locks. The loader is not instrumented, so it is said what it writes.
static bool find_object(const void *pc, struct dl_find_object *out)
{
    if (_dl_find_object((void *)(uintptr_t)pc, out) != 0)
        return false;
    sanitize_defined(out, sizeof *out);
    return true;
}

const char *hak_stack_module(const void *pc, size_t *offset)
{
    struct dl_find_object found;
    if (!find_object(pc, &found))
        return NULL;
    *offset = (uintptr_t)pc - (uintptr_t)found.dlfo_link_map->l_addr;
    const char *name = found.dlfo_link_map->l_name;
    return name[0] != 0 ? name : "program";
}

uint32_t hak_stack_own(void *const *frames, uint32_t count)
{
    struct dl_find_object own;
    uint32_t i = 0;
    if (!find_object((const void *)hak_stack_own, &own) || own.dlfo_link_map->l_name[0] == 0)
        return 0;
    size_t bytes = (uintptr_t)own.dlfo_map_end - (uintptr_t)own.dlfo_map_start;
    while (i < count && (uintptr_t)frames[i] - (uintptr_t)own.dlfo_map_start < bytes)
        i++;
    return i;
}

static void read_build(struct stack_object *out, const char *at, size_t bytes)
{
    const char *end = at + bytes;
    while (end - at >= (ptrdiff_t)sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)at;
        const char *name = at + sizeof *note;
        const char *content = name + ((size_t)note->n_namesz + 3) / 4 * 4;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
            note->n_descsz <= sizeof out->build) {
            out->build_bytes = note->n_descsz;
            memcpy(out->build, content, note->n_descsz);
            return;
        }
        at = content + ((size_t)note->n_descsz + 3) / 4 * 4;
    }
}

// The name of the program, which the loader leaves empty.
static const char *program_name(char *out, size_t bytes_max)
{
    int saved = errno;
    long bytes = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", out, bytes_max - 1);
    errno = saved;
    out[bytes > 0 ? bytes : 0] = 0;
    return out;
}

bool hak_stack_object(const void *pc, struct stack_object *out)
{
    struct dl_find_object found;
    if (!find_object(pc, &found))
        return false;
    const char *base = found.dlfo_map_start; // the file's begin is mapped first
    const ElfW(Ehdr) *file = (const void *)base;
    if (memcmp(file->e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    uintptr_t bias = (uintptr_t)found.dlfo_link_map->l_addr;
    const ElfW(Phdr) *segments = (const void *)(base + file->e_phoff);
    *out = (struct stack_object){ .name = found.dlfo_link_map->l_name };
    for (unsigned i = 0; i < file->e_phnum; i++) {
        const ElfW(Phdr) *s = &segments[i];
        uintptr_t start = bias + s->p_vaddr;
        if (s->p_type == PT_NOTE && out->build_bytes == 0)
            read_build(out, (const char *)start, s->p_filesz);
        if (s->p_type != PT_LOAD || (uintptr_t)pc - start >= s->p_memsz)
            continue;
        uintptr_t in_page = start % hak_os_page_size();
        out->start = start - in_page;
        out->limit = round_up(start + s->p_memsz, hak_os_page_size());
        out->offset = s->p_offset - in_page;
    }
    if (out->name[0] == 0)
        out->name = program_name(out->program, sizeof out->program);
    return out->limit != 0;
}

uintptr_t hak_stack_program(void)
{
    return getauxval(AT_ENTRY);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    hak_on_refused_access(info->si_addr);
    sigaction(number, &before, NULL); // the access is tried again, under the handler that was here
    errno = saved;
}

void hak_stack_watch_access(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    int saved = errno;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before);
    errno = saved;
}
