// map.c: the allocator's tables as an ELF core file, from which hakmem-map draws.
//
//   |ELF header|program headers|note: name, process|layout|counts|heaps|classes|tags|masks|
//    records|far words|metadata memory|resident pages|
//
// The same reader serves a core file of the kernel or of gdb, the memory of a process, and this,
// which holds no user data and is small. What is written is a copy of memory as it is: while other
// threads work, parts are of different moments, and the reader copes. Nothing is locked, allocated
// or changed, so a signal handler may write one.
//
// Resident pages are no memory of ours: a segment of a type of its own with a bit for each page of
// the SuperSlabs begun, in the place of the arena.

#include <elf.h>

#include <seam/os.h>

#include "attach.h"
#include "hakmem.h"
#include "heaps.h"
#include "layout.h"
#include "meta.h"
#include "print.h"

#define SEGMENT_RESIDENT (PT_LOOS + 0x68616b)
#define SEGMENTS_MAX 12u
#define NAME_BYTES 16u
#define ARGUMENTS_BYTES 80u

// What the kernel calls elf_prpsinfo on 64-bit processors: which process this was.
struct process_note {
    char state[8];
    uint32_t flags[2];
    uint32_t user, group;
    int32_t process, parent, process_group, session;
    char name[NAME_BYTES];
    char arguments[ARGUMENTS_BYTES];
};

struct note {
    Elf64_Nhdr header;
    char owner[8]; // "CORE", padded
    struct process_note process;
};
_Static_assert(sizeof(struct note) == 12 + 8 + 136, "no padding");

struct core {
    Elf64_Ehdr elf;
    Elf64_Phdr segments[SEGMENTS_MAX]; // the note is the first
    unsigned count;
    uint64_t end; // bytes of the file so far
};

static void add(struct core *core, uint32_t type, const void *at, size_t bytes)
{
    core->segments[core->count++] = (Elf64_Phdr){
        .p_type = type,
        .p_flags = type == PT_NOTE ? 0 : PF_R,
        .p_offset = core->end,
        .p_vaddr = type == PT_NOTE ? 0 : (uintptr_t)at,
        .p_filesz = bytes,
        .p_memsz = type == PT_LOAD ? bytes : 0,
        .p_align = 1,
    };
    core->end += bytes;
}

static void add_memory(struct core *core, const void *at, size_t bytes)
{
    add(core, PT_LOAD, at, bytes);
}

static size_t resident_bytes_of_superslab(void)
{
    return SUPERSLAB_SIZE / os_page_size() / 8;
}

static void begin_core(struct core *core, uint32_t begun)
{
    size_t units = (size_t)begun * SUPERSLAB_UNITS;
    core->end = sizeof core->elf + sizeof core->segments;
    add(core, PT_NOTE, NULL, sizeof(struct note));
    add_memory(core, &hak_layout, sizeof hak_layout);
    add_memory(core, hak_superslabs_begun_at(), sizeof(uint32_t));
    add_memory(core, hak_heaps_count_at(), sizeof(uint32_t));
    add_memory(core, hak_heaps_table_at(), hak_heaps_count() * sizeof(void *));
    add_memory(core, hak_classes, (CLASS_COUNT + 1) * sizeof hak_classes[0]);
    add_memory(core, hak_arena.tags, units);
    add_memory(core, hak_arena.masks, begun * sizeof hak_arena.masks[0]);
    add_memory(core, hak_arena.records, units * RECORD_SIZE);
    add_memory(core, hak_arena.far_words, units * FAR_SIZE);
    add_memory(core, hak_arena.meta, hak_meta_bytes());
    add(core, SEGMENT_RESIDENT, hak_arena.base, begun * resident_bytes_of_superslab());
    core->elf = (Elf64_Ehdr){
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_CORE,
        .e_machine = EM_NONE, // nothing in it depends on one
        .e_version = EV_CURRENT,
        .e_phoff = sizeof core->elf,
        .e_ehsize = sizeof core->elf,
        .e_phentsize = sizeof core->segments[0],
        .e_phnum = (uint16_t)core->count,
    };
}

// ---- writing ----

static bool write_all(int fd, const void *p, size_t bytes)
{
    return hak_os_write_fd(fd, p, bytes);
}

// Name and arguments as the kernel has them: cut, and ended by a zero.
static void read_text(const char *path, char *out, size_t bytes_max)
{
    size_t bytes = 0;
    (void)hak_os_read_file(path, out, bytes_max, &bytes); // what there is of a longer one will do
    bytes = min_size(bytes, bytes_max - 1);
    __builtin_memset(out + bytes, 0, bytes_max - bytes);
}

static struct note process_note(void)
{
    struct note note = {
        .header = { .n_namesz = 5, .n_descsz = sizeof note.process, .n_type = NT_PRPSINFO },
        .owner = "CORE",
        .process = { .process = (int32_t)hak_os_process_id() },
    };
    read_text("/proc/self/comm", note.process.name, NAME_BYTES);
    read_text("/proc/self/cmdline", note.process.arguments, ARGUMENTS_BYTES);
    size_t end = ARGUMENTS_BYTES;
    while (end > 0 && note.process.arguments[end - 1] == 0)
        end--;
    for (size_t i = 0; i < end; i++)
        if (note.process.arguments[i] == 0) // between two
            note.process.arguments[i] = ' ';
    for (size_t i = 0; i < NAME_BYTES; i++)
        if (note.process.name[i] == '\n')
            note.process.name[i] = 0;
    return note;
}

// A bit for each page of a SuperSlab; none where the system does not say.
static bool write_resident(int fd, uint32_t superslab)
{
    unsigned char pages[SUPERSLAB_SIZE / 4096];
    unsigned char bits[sizeof pages / 8] = { 0 };
    size_t bytes = resident_bytes_of_superslab();
    const char *base = hak_unit_base(superslab * SUPERSLAB_UNITS);
    if (hak_os_resident(base, SUPERSLAB_SIZE, pages))
        for (size_t i = 0; i < bytes * 8; i++)
            bits[i / 8] |= (unsigned char)((pages[i] & 1) << i % 8);
    return write_all(fd, bits, bytes);
}

bool hak_write_map(int fd)
{
    struct core core = { 0 };
    if (!hak_started())
        return false;
    uint32_t begun = hak_superslabs_begun();
    begin_core(&core, begun);
    struct note note = process_note();
    bool ok = write_all(fd, &core.elf, sizeof core.elf) &&
              write_all(fd, core.segments, sizeof core.segments) &&
              write_all(fd, &note, sizeof note);
    for (unsigned i = 1; ok && i < core.count; i++)
        if (core.segments[i].p_type == PT_LOAD)
            ok = write_all(fd, (const void *)core.segments[i].p_vaddr, core.segments[i].p_filesz);
    for (uint32_t i = 0; ok && i < begun; i++)
        ok = write_resident(fd, i);
    return ok;
}
