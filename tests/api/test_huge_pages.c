// test_huge_pages.c: with huge_pages=1 the kernel is told that the arena may have pages of 2 MiB.
#include "api.h"

// Whether the mapping of p has the flag, as /proc/self/smaps says: two letters in its VmFlags.
static bool has_flag(const void *p, const char *flag)
{
    char line[512];
    bool inside = false, found = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    if (file == NULL)
        fail_msg("/proc/self/smaps cannot be read");
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    fclose(file);
    return found;
}

static void the_arena_may_have_huge_pages(void **state)
{
    (void)state;
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0 || under_a_tool())
        skip(); // a kernel without them, or none
    char *p = hak_malloc(100);
    assert_non_null(p);
    assert_true(has_flag(p, " hg"));
    hak_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_arena_may_have_huge_pages),
    };
    setenv("HAKMEM_OPTIONS", "huge_pages=1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
