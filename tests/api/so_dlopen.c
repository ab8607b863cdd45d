// so_dlopen.c: libraries loaded while the program runs: constructors, destructors and thread-local
// storage that allocate; and a C++ library loaded by a C program, whose failing `new` must throw.
//
// Builds what it loads with the system's cc and c++; without them its tests are skipped.
#include "api.h"

#include <dlfcn.h>
#include <pthread.h>

static const char plugin_source[] =
    "#include <stdlib.h>\n"
    "#include <string.h>\n"
    "static char *kept;\n"
    "static __thread char *mine;\n"
    "static __thread char big[20000];\n"
    "__attribute__((constructor)) static void start(void) { kept = strdup(\"constructed\"); }\n"
    "__attribute__((destructor)) static void stop(void) { free(kept); free(malloc(500)); }\n"
    "const char *plugin_kept(void) { return kept; }\n"
    "void *plugin_malloc(size_t n) {\n"
    "    free(mine); mine = calloc(1, 300); big[n % 20000] = 1; return malloc(n); }\n"
    "void plugin_free(void *p) { free(p); free(mine); mine = NULL; }\n";

static const char cxx_plugin_source[] =
    "#include <new>\n"
    "#include <string>\n"
    "#include <vector>\n"
    "#include <cstdint>\n"
    "static std::vector<std::string> lines(100, std::string(50, 'x'));\n"
    "extern \"C\" int plugin_throws(void) {\n"
    "    int good = 0;\n"
    "    volatile std::size_t n = PTRDIFF_MAX;\n"
    "    try { lines.push_back(std::string(n / 2, 'y')); } catch (const std::bad_alloc &) { "
    "good++; }\n"
    "    try { operator delete(operator new(n)); } catch (const std::bad_alloc &) { good++; }\n"
    "    good += operator new(n, std::nothrow) == nullptr;\n"
    "    try { delete[] new char[n]; } catch (const std::bad_alloc &) { good++; }\n"
    "    delete new std::string(200, 'z');\n"
    "    return good; }\n";

static const char host_source[] =
    "#include <dlfcn.h>\n"
    "#include <stdio.h>\n"
    "int main(int argc, char **argv) {\n"
    "    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;\n"
    "    int (*f)(void) = library ? (int (*)(void))dlsym(library, \"plugin_throws\") : NULL;\n"
    "    if (f == NULL) { fprintf(stderr, \"%s\\n\", dlerror()); return 100; }\n"
    "    return f(); }\n";

static char folder[] = "/tmp/hakmem-dlopen-XXXXXX";

// Valid until the thread's fourth call after this one.
static char *in_folder(const char *name)
{
    static _Thread_local char paths[4][64];
    static _Thread_local unsigned next;
    char *path = paths[next++ % COUNT_OF(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int run_command(const char *format, ...)
{
    char command[PATH_MAX + 512];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    return system(command);
}

static void write_source(const char *name, const char *text)
{
    FILE *out = fopen(in_folder(name), "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static int prepare(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int clean_up(void **state)
{
    (void)state;
    return run_command("rm -rf '%s'", folder);
}

typedef const char *(*kept_function)(void);
typedef void *(*malloc_function)(size_t);
typedef void (*free_function)(void *);

static void load_use_unload(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        void *library = dlopen(in_folder("plugin.so"), RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            dprintf(2, "%s\n", dlerror());
        CHILD_CHECK(library != NULL);
        kept_function kept = (kept_function)dlsym(library, "plugin_kept");
        malloc_function allocate = (malloc_function)dlsym(library, "plugin_malloc");
        free_function release = (free_function)dlsym(library, "plugin_free");
        CHILD_CHECK(strcmp(kept(), "constructed") == 0);
        void *p = allocate(i * 100);
        CHILD_CHECK(p != NULL);
        release(p);
        CHILD_CHECK(dlclose(library) == 0);
    }
}

static void *load_in_thread(void *argument)
{
    load_use_unload(100);
    return argument;
}

static void plugins_come_and_go(void **state)
{
    (void)state;
    if (run_command("command -v cc >/dev/null") != 0)
        skip();
    write_source("plugin.c", plugin_source);
    assert_int_equal(run_command("cc -O1 -shared -fPIC -o '%s' '%s'", in_folder("plugin.so"),
                                 in_folder("plugin.c")),
                     0);
    struct hak_stats before, after;
    hak_get_stats(&before);
    load_use_unload(100);
    pthread_t threads[3];
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_in_thread, NULL), 0);
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    hak_get_stats(&after);
    assert_int_equal(after.foreign_frees, before.foreign_frees);
}

static void a_c_program_loads_a_cxx_library(void **state)
{
    (void)state;
    if (run_command("command -v cc >/dev/null && command -v c++ >/dev/null") != 0)
        skip();
    Dl_info info;
    assert_true(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0);
    char *library = realpath(info.dli_fname, NULL);
    assert_non_null(library);
    write_source("plugin.cc", cxx_plugin_source);
    write_source("host.c", host_source);
    assert_int_equal(run_command("c++ -std=c++17 -w -shared -fPIC -o '%s' '%s'",
                                 in_folder("cxx.so"), in_folder("plugin.cc")),
                     0);
    assert_int_equal(run_command("cc -o '%s' '%s'", in_folder("host"), in_folder("host.c")), 0);
    int status = run_command("LD_PRELOAD='%s' '%s' '%s'", library, in_folder("host"),
                             in_folder("cxx.so"));
    free(library);
    // Four expectations of the library held.
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugins_come_and_go),
        cmocka_unit_test(a_c_program_loads_a_cxx_library),
    };
    return cmocka_run_group_tests_name("api_so_dlopen", tests, prepare, clean_up);
}
