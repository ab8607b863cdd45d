// so_names.c: the standard names of the shared library: they are ours, they agree with the C
// library's own use of them, and the reports of glibc are filled.
#include "api.h"

#include <dlfcn.h>
#include <malloc.h>

void free_sized(void *p, size_t n);
void free_aligned_sized(void *p, size_t align, size_t n);

static const char *const names[] = {
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "free_sized",
    "free_aligned_sized",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "malloc_trim",
    "mallopt",
    "mallinfo",
    "mallinfo2",
    "malloc_stats",
    "malloc_info",
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    "hak_malloc",
    "hak_free",
    "hak_audit",
    "hak_version",
};

static const char *library_of(const char *name)
{
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, name);
    return symbol != NULL && dladdr(symbol, &info) != 0 ? info.dli_fname : "nowhere";
}

static void all_names_are_ours(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (strstr(library_of(names[i]), "libhakmem") == NULL)
            fail_msg("%s is defined in %s", names[i], library_of(names[i]));
    assert_null(strstr(library_of("cfree"), "libhakmem"));
}

static void each_name_works(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        size_t n = tier_sizes[i];
        char *p = opaque_pointer(malloc(n));
        assert_non_null(p);
        assert_true(is_aligned(p, 16) && malloc_usable_size(p) >= n);
        pattern_fill(p, n, i);
        p = opaque_pointer(realloc(p, n + n / 2));
        assert_non_null(p);
        p = opaque_pointer(reallocarray(p, n, 3));
        assert_non_null(p);
        assert_int_equal(pattern_mismatch(p, n, i), n);
        free(p);
        p = opaque_pointer(calloc(n, 2));
        assert_true(p != NULL && is_zero(p, 2 * n));
        free_sized(p, 2 * n);
        p = opaque_pointer(aligned_alloc(64, n));
        assert_true(p != NULL && is_aligned(p, 64));
        free_aligned_sized(p, 64, n);
        p = opaque_pointer(memalign(512, n));
        assert_true(p != NULL && is_aligned(p, 512));
        free(p);
        void *q = NULL;
        assert_int_equal(posix_memalign(&q, 8192, n), 0);
        assert_true(is_aligned(q, 8192));
        free(q);
        q = opaque_pointer(valloc(n));
        assert_true(q != NULL && is_aligned(q, (size_t)sysconf(_SC_PAGESIZE)));
        free(q);
        q = opaque_pointer(pvalloc(n));
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        assert_true(q != NULL && malloc_usable_size(q) % page == 0);
        free(q);
    }
    errno = 0;
    assert_null(opaque_pointer(malloc(opaque(SIZE_MAX - 100))));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(malloc_usable_size(NULL), 0);
}

// What the C library allocates with malloc, users free, and the other way round.
static void the_c_library_agrees(void **state)
{
    (void)state;
    struct hak_stats before, after;
    hak_get_stats(&before);
    for (unsigned i = 0; i < 200; i++) {
        char *text = NULL;
        assert_true(asprintf(&text, "%0*u", (int)(i * 7 + 1), i) > 0);
        char *copy = strdup(text), *folder = getcwd(NULL, 0), *path = realpath("/usr/bin/..", NULL);
        assert_string_equal(copy, text);
        assert_non_null(folder);
        assert_string_equal(path, "/usr");
        free(copy);
        size_t length;
        FILE *stream = open_memstream(&copy, &length);
        assert_non_null(stream);
        fputs(text, stream);
        fclose(stream);
        assert_string_equal(copy, text);
        free(text);
        free(copy);
        free(folder);
        free(path);
        FILE *in = fopen("/proc/self/status", "r");
        assert_non_null(in);
        char *line = malloc(2);
        size_t size = 2;
        while (getline(&line, &size, in) > 0)
            continue;
        fclose(in);
        free(line);
    }
    hak_get_stats(&after);
    assert_int_equal(after.foreign_frees, before.foreign_frees);
}

static void mallopt_accepts_what_glibc_knows(void **state)
{
    (void)state;
    const int known[] = { M_MXFAST,         M_TRIM_THRESHOLD, M_TOP_PAD,
                          M_MMAP_THRESHOLD, M_MMAP_MAX,       M_CHECK_ACTION,
                          M_PERTURB,        M_ARENA_TEST,     M_ARENA_MAX };
    for (unsigned i = 0; i < COUNT_OF(known); i++)
        assert_int_equal(mallopt(known[i], 1), 1);
    assert_int_equal(mallopt(0, 1), 0);
    assert_int_equal(mallopt(100, 1), 0);
    assert_int_equal(mallopt(-100, 1), 0);
}

static void mallinfo_counts(void **state)
{
    (void)state;
    static void *blocks[1000];
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = opaque_pointer(malloc(1000));
    void *huge = opaque_pointer(malloc(MIB(30)));
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks >= before.uordblks + 1000 * 1000);
    assert_true(after.uordblks <= before.uordblks + 1000 * 1250);
    assert_true(after.hblks == before.hblks + 1);
    assert_true(after.hblkhd >= before.hblkhd + MIB(30));
    assert_true(after.arena >= after.uordblks);
    assert_int_equal(after.arena, after.uordblks + after.fordblks);
    free(huge);
    for (unsigned i = 0; i < COUNT_OF(blocks); i++)
        free(blocks[i]);
    assert_int_equal(mallinfo2().uordblks, before.uordblks);
    assert_int_equal(mallinfo2().hblks, before.hblks);
    malloc_trim(0);
    assert_int_equal(malloc_trim(0), 0); // nothing is left
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void old_mallinfo_saturates(void **state)
{
    (void)state;
    void *p = opaque_pointer(malloc((size_t)5 << 30));
    assert_non_null(p);
    assert_int_equal(mallinfo().hblkhd, INT_MAX);
    free(p);
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo narrow = mallinfo();
    assert_int_equal(narrow.uordblks, wide.uordblks);
    assert_int_equal(narrow.hblkhd, wide.hblkhd);
}
#pragma GCC diagnostic pop

// Every element of the report closes, in order.
static void assert_well_formed(const char *xml)
{
    char stack[16][32];
    unsigned depth = 0;
    while ((xml = strchr(xml, '<')) != NULL) {
        const char *end = strchr(xml, '>');
        assert_non_null(end);
        size_t length = strcspn(xml + 1 + (xml[1] == '/'), " />");
        assert_in_range(length, 1, 31);
        if (xml[1] == '/') {
            assert_true(depth > 0);
            assert_memory_equal(stack[--depth], xml + 2, length);
        } else if (end[-1] != '/') {
            assert_true(depth < COUNT_OF(stack));
            memcpy(stack[depth], xml + 1, length);
            stack[depth++][length] = 0;
        }
        xml = end;
    }
    assert_int_equal(depth, 0);
}

static void malloc_info_writes_xml(void **state)
{
    (void)state;
    static char text[KIB(64)];
    FILE *out = tmpfile();
    assert_non_null(out);
    assert_int_equal(malloc_info(1, out), EINVAL);
    assert_int_equal(ftell(out), 0);
    assert_int_equal(malloc_info(0, out), 0);
    rewind(out);
    text[fread(text, 1, sizeof text - 1, out)] = 0;
    fclose(out);
    assert_memory_equal(text, "<malloc version=\"1\">", 20);
    assert_well_formed(text);
    assert_non_null(strstr(text, "<heap nr=\"0\">"));
    assert_non_null(strstr(text, "<size from="));
    assert_non_null(strstr(text, "<system type=\"current\" size=\""));
    assert_null(strstr(text, "<system type=\"current\" size=\"0\""));
}

static void write_stats_to_error(void)
{
    CHILD_CHECK(freopen("/dev/null", "w", stdout) != NULL);
    int ends[2];
    CHILD_CHECK(pipe(ends) == 0 && dup2(ends[1], 2) == 2);
    malloc_stats();
    char text[KIB(16)];
    ssize_t n = read(ends[0], text, sizeof text - 1);
    CHILD_CHECK(n > 0);
    text[n] = 0;
    CHILD_CHECK(strstr(text, "committed") != NULL);
}

static void malloc_stats_writes_to_standard_error(void **state)
{
    (void)state;
    assert_exited_0(run_child(write_stats_to_error));
}

// A C program under us loads the allocator and no C++ runtime.
static void c_programs_load_no_cxx_runtime(void **state)
{
    (void)state;
    if (under_qemu())
        skip(); // a library for the program that a shell starts
    char command[PATH_MAX + 64], line[1024];
    char *library = realpath(library_of("malloc"), NULL);
    assert_non_null(library);
    snprintf(command, sizeof command, "LD_PRELOAD='%s' exec cat /proc/self/maps", library);
    FILE *maps = popen(command, "r");
    assert_non_null(maps);
    bool ours = false, runtime = false;
    while (fgets(line, sizeof line, maps) != NULL) {
        ours = ours || strstr(line, "libhakmem") != NULL;
        runtime = runtime || strstr(line, "libstdc++") != NULL || strstr(line, "libc++") != NULL;
    }
    assert_int_equal(pclose(maps), 0);
    free(library);
    assert_true(ours);
    assert_false(runtime);
}

#define FOREIGN_REPORT \
    (FOREIGN_FREES_COUNT ? "frees of foreign pointers: 1\n" : "frees of foreign pointers: 0\n")

// What this program, as one that does nothing, writes on standard error with the given options.
static char *standard_error_with(const char *options)
{
    static char text[KIB(64)];
    char self[PATH_MAX] = "", command[PATH_MAX + 256];
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(command, sizeof command, "HAKMEM_OPTIONS='%s%s' %s '%s' --exit 2>&1", options,
             !under_qemu()     ? ""
             : options[0] != 0 ? ",arena_mib=1024"
                               : "arena_mib=1024",
             under_a_tool() ? getenv("HAK_TEST_UNDER") : "", self);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    text[fread(text, 1, sizeof text - 1, out)] = 0;
    assert_int_equal(pclose(out), 0);
    return text;
}

static void options_report_at_exit(void **state)
{
    (void)state;
    assert_string_equal(standard_error_with(""), "");
    assert_string_equal(standard_error_with("stats=0,foreign=0"), "");
    assert_non_null(strstr(standard_error_with("stats=1"), "committed"));
    assert_int_equal(standard_error_with("stats=2")[0], '{');
    assert_non_null(strstr(standard_error_with("foreign=1"), FOREIGN_REPORT));
}

static void malformed_options_are_refused_by_name(void **state)
{
    (void)state;
    assert_string_equal(standard_error_with("nope=1"),
                        "hakmem: HAKMEM_OPTIONS: offset 0: unknown option 'nope'\n");
    // The others hold.
    char *text = standard_error_with("stats=9,foreign=1");
    assert_non_null(strstr(text, "offset 6"));
    assert_non_null(strstr(text, FOREIGN_REPORT));
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--exit") == 0) {
        free(opaque_pointer(malloc(100)));
        if (FOREIGN_FREES_COUNT)
            free(opaque_pointer(&argc)); // a foreign pointer
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_names_are_ours),
        cmocka_unit_test(each_name_works),
        cmocka_unit_test(the_c_library_agrees),
        cmocka_unit_test(mallopt_accepts_what_glibc_knows),
        cmocka_unit_test(mallinfo_counts),
        cmocka_unit_test(old_mallinfo_saturates),
        cmocka_unit_test(malloc_info_writes_xml),
        cmocka_unit_test(malloc_stats_writes_to_standard_error),
        cmocka_unit_test(options_report_at_exit),
        cmocka_unit_test(malformed_options_are_refused_by_name),
        cmocka_unit_test(c_programs_load_no_cxx_runtime),
    };
    return cmocka_run_group_tests_name("api_so_names", tests, NULL, NULL);
}
