// so_profile.c: the heap profile of the shared library: stacks begin with the program's calls, not
// with the library's own frames.
#include "api.h"

#include <dlfcn.h>

enum { BLOCKS = 50 };

struct message {
    const unsigned char *at, *end;
};

static uint64_t take_number(struct message *m)
{
    uint64_t value = 0;
    for (unsigned shift = 0; m->at < m->end && shift < 64; shift += 7) {
        value |= (uint64_t)(*m->at & 0x7f) << shift;
        if (*m->at++ < 0x80)
            return value;
    }
    CHILD_CHECK(!"a number that does not end");
    return 0;
}

// The next field: a number, or the bytes of a message.
static bool take_field(struct message *m, uint64_t *field, uint64_t *value, struct message *bytes)
{
    if (m->at == m->end)
        return false;
    uint64_t key = take_number(m);
    *field = key >> 3;
    *value = take_number(m);
    *bytes = (struct message){ m->at, m->at };
    if ((key & 7) == 2) {
        CHILD_CHECK(*value <= (uint64_t)(m->end - m->at));
        bytes->end = m->at += *value;
    }
    return true;
}

static const void *object_of(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

static uint64_t number_in(struct message m, uint64_t wanted)
{
    uint64_t field, value;
    struct message bytes;
    while (take_field(&m, &field, &value, &bytes))
        if (field == wanted)
            return value;
    return 0;
}

static const void *address_of(struct message all, uint64_t location)
{
    uint64_t field, value;
    struct message one;
    while (take_field(&all, &field, &value, &one))
        if (field == 4 && number_in(one, 1) == location)
            return (const void *)(uintptr_t)number_in(one, 3);
    CHILD_CHECK(!"a sample's location is there");
    return NULL;
}

// Samples whose innermost frame lies in the object.
static unsigned samples_in(const void *object)
{
    static unsigned char profile[1 << 18];
    int fd = memfd_create("profile", MFD_CLOEXEC);
    CHILD_CHECK(fd >= 0 && hak_write_profile(fd) == 1);
    ssize_t count = pread(fd, profile, sizeof profile, 0);
    CHILD_CHECK(count > 0 && count < (ssize_t)sizeof profile);
    close(fd);
    const struct message all = { profile, profile + count };
    struct message m = all, sample, frames;
    uint64_t field, value;
    unsigned found = 0;
    while (take_field(&m, &field, &value, &sample)) {
        if (field != 2)
            continue;
        while (take_field(&sample, &field, &value, &frames))
            if (field == 1 && frames.at != frames.end)
                found += object_of(address_of(all, take_number(&frames))) == object;
    }
    return found;
}

static int child(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        free(opaque_pointer(malloc(opaque(1000))));
        free(opaque_pointer(calloc(1, opaque(MIB(1)))));
        free(opaque_pointer(realloc(malloc(opaque(100)), opaque(3000))));
    }
    const void *program = object_of((const void *)child);
    const void *library = object_of(dlsym(RTLD_DEFAULT, "hak_malloc"));
    CHILD_CHECK(program != NULL && library != NULL && program != library);
    CHILD_CHECK(samples_in(program) >= 3);
    CHILD_CHECK(samples_in(library) == 0);
    return 0;
}

static void start_child(void)
{
    char *const arguments[] = { (char *)"child", NULL };
    // qemu walks over each page of the reservation.
    const char *more = under_qemu() ? ",arena_mib=1024" : "";
    char options[64];
    snprintf(options, sizeof options, "profile=1,profile_seed=1%s", more);
    setenv("HAKMEM_OPTIONS", options, 1);
    exec_self(arguments);
    _exit(98);
}

static void test_own_frames(void **state)
{
    (void)state;
    assert_exited_0(run_child(start_child));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return child();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
