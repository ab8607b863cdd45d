// test_map.c: the file of hak_write_map is a core file whose segments hold the tables as they are.
#define _GNU_SOURCE 1
#include "support.h"

#include <elf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "hakmem.h"
#include "heaps.h"
#include "layout.h"

struct file {
    char *data;
    size_t bytes;
};

static struct file write_map(void)
{
    int fd = memfd_create("map", MFD_CLOEXEC);
    assert_true(hak_write_map(fd));
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    struct file f = { .bytes = (size_t)status.st_size };
    f.data = mmap(NULL, f.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(f.data != MAP_FAILED);
    close(fd);
    return f;
}

static const Elf64_Phdr *segment(const struct file *f, unsigned i)
{
    return (const Elf64_Phdr *)(f->data + sizeof(Elf64_Ehdr)) + i;
}

static unsigned segments(const struct file *f)
{
    return ((const Elf64_Ehdr *)f->data)->e_phnum;
}

// What the file says is at an address.
static const void *stored(const struct file *f, const void *p, size_t bytes)
{
    for (unsigned i = 0; i < segments(f); i++) {
        const Elf64_Phdr *s = segment(f, i);
        size_t offset = (uintptr_t)p - s->p_vaddr;
        if (s->p_type == PT_LOAD && offset < s->p_filesz && bytes <= s->p_filesz - offset)
            return f->data + s->p_offset + offset;
    }
    fail_msg("%zu bytes at %p are not in the file", bytes, p);
    return NULL;
}

static void expect_stored(const struct file *f, const void *p, size_t bytes)
{
    assert_memory_equal(stored(f, p, bytes), p, bytes);
}

static void test_before_start(void **state)
{
    (void)state;
    assert_false(hak_write_map(2)); // nothing has been allocated yet
}

static void test_tables(void **state)
{
    (void)state;
    char *small = hak_malloc(100), *large = hak_malloc(CLASS_SIZE_MAX + 1);
    struct file f = write_map();
    size_t end = 0;
    for (unsigned i = 0; i < segments(&f); i++) {
        end = segment(&f, i)->p_offset + segment(&f, i)->p_filesz;
        assert_true(end <= f.bytes);
    }
    assert_int_equal(end, f.bytes);
    size_t units = (size_t)hak_superslabs_begun() * SUPERSLAB_UNITS;
    expect_stored(&f, &hak_layout, sizeof hak_layout);
    expect_stored(&f, hak_arena.tags, units);
    expect_stored(&f, hak_arena.masks, hak_superslabs_begun() * 8);
    expect_stored(&f, hak_slab_of_unit(hak_unit_of(small)), RECORD_SIZE);
    expect_stored(&f, hak_slab_at(hak_unit_of(large)), RECORD_SIZE);
    expect_stored(&f, hak_heaps_at(0), sizeof(struct heap));
    expect_stored(&f, hak_heaps_table_at(), sizeof(void *));
    munmap(f.data, f.bytes);
    hak_free(small);
    hak_free(large);
}

// The bit of a page of the arena in the last segment.
static bool is_resident(const struct file *f, const char *p)
{
    const Elf64_Phdr *s = segment(f, segments(f) - 1);
    size_t page = (size_t)(p - (const char *)s->p_vaddr) / (size_t)sysconf(_SC_PAGESIZE);
    return (f->data[s->p_offset + page / 8] >> page % 8 & 1) != 0;
}

static void test_resident(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = hak_malloc(CLASS_SIZE_MAX + 8 * page);
    hak_malloc_trim(0);
    memset(p, 1, CLASS_SIZE_MAX + 8 * page);
    struct file f = write_map();
    assert_true(is_resident(&f, p + 3 * page));
    munmap(f.data, f.bytes);
    hak_free(p);
    hak_malloc_trim(0);
    f = write_map();
    assert_false(is_resident(&f, p + 3 * page));
    munmap(f.data, f.bytes);
}

// Which process it was stands in a note, as the kernel writes it.
static void test_process(void **state)
{
    (void)state;
    struct file f = write_map();
    const char *note = f.data + segment(&f, 0)->p_offset;
    assert_int_equal(segment(&f, 0)->p_type, PT_NOTE);
    assert_string_equal(note + 12, "CORE");
    assert_int_equal(*(const int32_t *)(note + 20 + 24), getpid());
    char name[17] = ""; // "test_map", or that of the tool under which it runs
    assert_int_equal(prctl(PR_GET_NAME, name, 0, 0, 0), 0);
    assert_string_equal(note + 20 + 40, name);
    assert_non_null(strstr(note + 20 + 56, "test_map"));
    munmap(f.data, f.bytes);
}

static void test_refused(void **state)
{
    (void)state;
    hak_free(hak_malloc(1));
    assert_false(hak_write_map(-1));
    struct rlimit before, few = { 3000, 3000 };
    int fd = memfd_create("map", MFD_CLOEXEC);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    few.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &few);
    bool written = hak_write_map(fd);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(written);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_start), // the first
        cmocka_unit_test(test_tables),       cmocka_unit_test(test_resident),
        cmocka_unit_test(test_process),      cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
