// test_pprof.c: what is written, read back field by field as profile.proto says: every number of a
// string, a location and a mapping leads to one, and sums are what the profile has.
#define _GNU_SOURCE 1
#include "support.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "hakmem.h"
#include "options.h"
#include "pprof.h"
#include "profile.h"
#include <seam/signals.h>
#include <seam/thread.h>

enum { FORMAT_PROFILE = 4 }; // of a signal that asks

enum { STRINGS_MAX = 300, IDS_MAX = 2000 };

struct message {
    const uint8_t *at, *end;
};

struct field {
    unsigned number;
    uint64_t value;          // of a number
    struct message contents; // of bytes
};

static uint64_t take_varint(struct message *m)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        assert_true(m->at < m->end);
        value |= (uint64_t)(*m->at & 0x7f) << shift;
        if (*m->at++ < 0x80)
            return value;
    }
    fail_msg("a number that does not end");
    return 0;
}

static bool take_field(struct message *m, struct field *f)
{
    if (m->at == m->end)
        return false;
    uint64_t key = take_varint(m);
    *f = (struct field){ .number = (unsigned)(key >> 3) };
    if ((key & 7) == 0) {
        f->value = take_varint(m);
        return true;
    }
    assert_int_equal(key & 7, 2);
    uint64_t bytes = take_varint(m);
    assert_true(bytes <= (uint64_t)(m->end - m->at));
    f->contents = (struct message){ m->at, m->at + bytes };
    m->at += bytes;
    return true;
}

// ---- one file ----

struct file {
    struct message all;
    char strings[STRINGS_MAX][128];
    unsigned strings_count;
    uint64_t locations[IDS_MAX], addresses[IDS_MAX], location_mappings[IDS_MAX], mappings[IDS_MAX],
        mapping_starts[IDS_MAX], mapping_limits[IDS_MAX], mapping_files[IDS_MAX],
        mapping_builds[IDS_MAX];
    unsigned locations_count, mappings_count;
};
static struct file file;

static const char *text_of(uint64_t number)
{
    assert_true(number < file.strings_count);
    return file.strings[number];
}

static uint64_t number_in(struct message m, unsigned wanted)
{
    uint64_t value = 0;
    for (struct field f; take_field(&m, &f);)
        if (f.number == wanted)
            value = f.value;
    return value;
}

// What was written to the file, which is closed.
static void read_from(int fd)
{
    size_t bytes = (size_t)lseek(fd, 0, SEEK_END);
    const uint8_t *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(data != MAP_FAILED);
    close(fd);
    file = (struct file){ .all = { data, data + bytes } };
    struct message m = file.all;
    for (struct field f; take_field(&m, &f);) {
        if (f.number == 6) {
            size_t length = (size_t)(f.contents.end - f.contents.at);
            assert_true(file.strings_count < STRINGS_MAX && length < sizeof file.strings[0]);
            memcpy(file.strings[file.strings_count++], f.contents.at, length);
        } else if (f.number == 4) {
            assert_true(file.locations_count < IDS_MAX);
            file.location_mappings[file.locations_count] = number_in(f.contents, 2);
            file.addresses[file.locations_count] = number_in(f.contents, 3);
            file.locations[file.locations_count++] = number_in(f.contents, 1);
        } else if (f.number == 3) {
            unsigned i = file.mappings_count++;
            file.mappings[i] = number_in(f.contents, 1);
            file.mapping_starts[i] = number_in(f.contents, 2);
            file.mapping_limits[i] = number_in(f.contents, 3);
            file.mapping_files[i] = number_in(f.contents, 5);
            file.mapping_builds[i] = number_in(f.contents, 6);
        }
    }
    assert_string_equal(text_of(0), "");
}

static void read_file(void)
{
    int fd = memfd_create("profile", MFD_CLOEXEC);
    assert_true(hak_write_profile(fd));
    read_from(fd);
}

static bool is_location(uint64_t id)
{
    unsigned found = 0;
    for (unsigned i = 0; i < file.locations_count; i++)
        found += file.locations[i] == id;
    return found == 1;
}

// ---- sums over samples with labels ----

struct label {
    const char *key, *text;
};

static bool has_label(struct message sample, struct label wanted)
{
    for (struct field f; take_field(&sample, &f);)
        if (f.number == 3 && strcmp(text_of(number_in(f.contents, 1)), wanted.key) == 0 &&
            strcmp(text_of(number_in(f.contents, 2)), wanted.text) == 0)
            return true;
    return false;
}

// Sums of the four values over samples with the label (key NULL: over all).
static void sum_samples(struct label wanted, uint64_t sums[4])
{
    struct message m = file.all;
    memset(sums, 0, 4 * sizeof sums[0]);
    for (struct field f; take_field(&m, &f);) {
        if (f.number != 2 || (wanted.key != NULL && !has_label(f.contents, wanted)))
            continue;
        struct message sample = f.contents;
        for (struct field part; take_field(&sample, &part);) {
            unsigned values = 0;
            while (part.number == 1 && part.contents.at != part.contents.end)
                assert_true(is_location(take_varint(&part.contents)));
            while (part.number == 2 && part.contents.at != part.contents.end)
                sums[values++] += take_varint(&part.contents);
            assert_true(part.number != 2 || values == 4);
        }
    }
}

static void *free_it(void *p)
{
    hak_free(p);
    return NULL;
}

static void test_samples(void **state)
{
    (void)state;
    const size_t n = 2 * SUPERSLAB_SIZE; // each is a sample, and counts once
    uint64_t all[4], live[4], own[4], other[4];
    void *kept[3];
    for (unsigned i = 0; i < 3; i++)
        kept[i] = hak_malloc(n);
    for (unsigned i = 0; i < 2; i++)
        hak_free(hak_malloc(n));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_it, hak_malloc(n)), 0);
    pthread_join(thread, NULL);
    read_file();
    sum_samples((struct label){ NULL, NULL }, all);
    sum_samples((struct label){ "lifetime", "live" }, live);
    sum_samples((struct label){ "freed_by", "same thread" }, own);
    sum_samples((struct label){ "freed_by", "other thread" }, other);
    assert_int_equal(all[0], 6);
    assert_int_equal(all[1], 6 * n);
    assert_int_equal(live[0], 3);
    assert_int_equal(live[2], 3);
    assert_int_equal(all[2], 3);
    assert_int_equal(all[3], 3 * n);
    assert_int_equal(own[0], 2);
    assert_int_equal(other[0], 1);
    assert_int_equal(own[2] + other[2], 0);
    for (unsigned i = 0; i < 3; i++)
        hak_free(kept[i]);
}

// Where addresses lie: in a mapping, of which the first is the program's.
static void test_locations(void **state)
{
    (void)state;
    hak_free(hak_malloc(2 * SUPERSLAB_SIZE));
    read_file();
    struct message m = file.all;
    unsigned in_program = 0;
    assert_true(file.mappings_count >= 1);
    uintptr_t own = (uintptr_t)test_locations;
    assert_true(own - file.mapping_starts[0] < file.mapping_limits[0] - file.mapping_starts[0]);
    if (!under_a_tool())
        assert_string_equal(text_of(file.mapping_files[0]), own_path());
    for (unsigned i = 0; i < file.mappings_count; i++) {
        assert_int_equal(text_of(file.mapping_files[i])[0], '/');
        const char *build = text_of(file.mapping_builds[i]);
        assert_int_equal(strspn(build, "0123456789abcdef"), strlen(build));
    }
    for (struct field f; take_field(&m, &f);) {
        if (f.number != 4)
            continue;
        uint64_t mapping = number_in(f.contents, 2), address = number_in(f.contents, 3);
        assert_true(mapping >= 1 && mapping <= file.mappings_count);
        assert_true(address >= file.mapping_starts[mapping - 1] &&
                    address < file.mapping_limits[mapping - 1]);
        in_program += mapping == 1;
    }
    assert_true(in_program != 0);
}

static void test_head(void **state)
{
    (void)state;
    static const char *const names[] = { "alloc_objects", "count", "alloc_space", "bytes",
                                         "inuse_objects", "count", "inuse_space", "bytes" };
    read_file();
    struct message m = file.all;
    unsigned types = 0;
    uint64_t period = 0;
    for (struct field f; take_field(&m, &f);) {
        if (f.number == 1) {
            assert_string_equal(text_of(number_in(f.contents, 1)), names[2 * types]);
            assert_string_equal(text_of(number_in(f.contents, 2)), names[2 * types + 1]);
            types++;
        }
        if (f.number == 12)
            period = f.value;
        if (f.number == 14)
            assert_string_equal(text_of(f.value), "inuse_space");
    }
    assert_int_equal(types, 4);
    assert_int_equal(period, hak_profile_interval());
}

static void test_refused(void **state)
{
    (void)state;
    struct capture capture;
    assert_false(hak_write_profile(-1));
    if (MITIGATE_SEAL)
        skip(); // options cannot be changed
    capture_error_begin(&capture);
    hak_pprof_write_file(0); // no name was given
    strcpy(hak_options.profile_file, "/nonexistent/x");
    hak_pprof_write_file(3);
    capture_error_end(&capture);
    char line[96];
    snprintf(line, sizeof line, "hakmem: cannot write the profile /nonexistent/x.%d.3.pb\n",
             (int)getpid());
    assert_string_equal(capture.text, line);
    hak_options.profile_file[0] = 0;
}

// A signal asks for it, and the option `profile_file`: the same profile.
static void test_other_ways(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_pprof.XXXXXX", path[128];
    void *kept = hak_malloc(2 * SUPERSLAB_SIZE);
    uint64_t asked[4], sums[4];
    read_file();
    sum_samples((struct label){ NULL, NULL }, asked);
    int fd = memfd_create("profile", MFD_CLOEXEC);
    hak_on_signal(fd, FORMAT_PROFILE);
    read_from(fd);
    sum_samples((struct label){ NULL, NULL }, sums);
    assert_memory_equal(sums, asked, sizeof sums);
    if (!MITIGATE_SEAL) { // else options cannot be changed
        assert_non_null(mkdtemp(folder));
        snprintf(hak_options.profile_file, sizeof hak_options.profile_file, "%s/x", folder);
        for (unsigned number = 0; number < 2; number++) {
            int last = open(folder, O_PATH | O_CLOEXEC); // the next descriptor that is free
            close(last);
            hak_pprof_write_file(number);
            snprintf(path, sizeof path, number == 0 ? "%s/x.%d.pb" : "%s/x.%d.1.pb", folder,
                     (int)getpid());
            fd = open(path, O_RDONLY | O_CLOEXEC);
            assert_int_equal(fd, last); // nothing was left open
            read_from(fd);
            sum_samples((struct label){ NULL, NULL }, sums);
            assert_memory_equal(sums, asked, sizeof sums);
            unlink(path);
        }
        hak_options.profile_file[0] = 0;
        rmdir(folder);
    }
    hak_free(kept);
}

// More than is written at once; and code addresses that lie in no object of the loader.
static void test_unknown_addresses(void **state)
{
    (void)state;
    enum { STACKS = 20, FRAMES = 32 };
    static char blocks[STACKS];
    void *frames[FRAMES];
    uint32_t before = hak_profile_locations();
    if (hak_profile_stacks() + STACKS > PROFILE_STACKS_MAX)
        fail_msg("no room for more stacks");
    for (uintptr_t i = 0; i < STACKS; i++) {
        for (uintptr_t k = 0; k < FRAMES; k++)
            frames[k] = (void *)(1 + i * FRAMES + k);
        assert_true(hak_profile_add(&blocks[i], 1000000, frames, FRAMES, hak_thread_id()));
    }
    read_file();
    assert_true(file.all.end - file.all.at > 4096);
    assert_int_equal(file.locations_count, before + STACKS * FRAMES);
    for (unsigned i = 0; i < file.locations_count; i++) {
        uint64_t address = file.addresses[i];
        bool unknown = address < STACKS * FRAMES; // a byte in front of what was given
        assert_int_equal(unknown, file.location_mappings[i] == 0);
        assert_int_equal(unknown, i >= before);
        assert_true(!unknown || address == i - before);
    }
    for (unsigned i = 0; i < STACKS; i++)
        hak_profile_freed(&blocks[i], hak_thread_id());
}

// How many comments there are, all of this text.
static unsigned comments_that_say(const char *text)
{
    unsigned count = 0;
    read_file();
    struct message m = file.all;
    for (struct field f; take_field(&m, &f);)
        if (f.number == 13) {
            assert_string_equal(text_of(f.value), text);
            count++;
        }
    return count;
}

// Samples that there was no room for are told.
static void test_lost(void **state)
{
    (void)state;
    enum { BLOCKS = PROFILE_SAMPLES_MAX + 3 };
    if (!GEOMETRY_SMALL)
        skip(); // a million samples
    static char blocks[BLOCKS];
    void *frame = (void *)(uintptr_t)1;
    char wanted[64];
    unsigned added = 0;
    assert_int_equal(comments_that_say(""), 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        added += hak_profile_add(&blocks[i], 1000000, &frame, 1, hak_thread_id());
    assert_in_range(added, 1, PROFILE_SAMPLES_MAX);
    snprintf(wanted, sizeof wanted, "no room for samples: %u", BLOCKS - added);
    assert_int_equal(comments_that_say(wanted), 1);
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_profile_freed(&blocks[i], hak_thread_id());
}

static bool written_before_start;

// Nothing is known yet.
static void test_before_start(void **state)
{
    (void)state;
    assert_false(written_before_start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_start),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_locations),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_ways),
        cmocka_unit_test(test_unknown_addresses), // from now on there are some
        cmocka_unit_test(test_lost),
    };
    int fd = memfd_create("nothing", MFD_CLOEXEC);
    written_before_start = hak_write_profile(fd) || lseek(fd, 0, SEEK_END) != 0;
    close(fd);
    setenv("HAKMEM_OPTIONS", "profile=1000,profile_seed=9", 1);
    hak_free(hak_malloc(1));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
