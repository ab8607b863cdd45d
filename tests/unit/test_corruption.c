// test_corruption.c: flips with a known outcome get the verdict that belongs to it, and the list of
// fields names what it says.
#include "support.h"

#include <stdio.h>

#include "../../fuzz/corruption.h"
#include "../../fuzz/ops.h"
#include "../../fuzz/target.h"
#include "../../fuzz/verdict.h"

const char target_name[] = "test_corruption";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data, (void)size;
    return 0;
}

static struct exec exec;
static struct ops program;

static const struct corruption_field *field(const char *name)
{
    for (unsigned i = 0; i < corruption_field_count; i++)
        if (strcmp(corruption_fields[i].name, name) == 0)
            return &corruption_fields[i];
    fail_msg("no field %s", name);
    return NULL;
}

// ---- programs with a flip in them ----

struct flip {
    const char *name;  // of the field; NULL: no flip
    size_t bit;        // of it
    unsigned times;    // 2: the field is as it was
    const char *setup; // operations before the flip, which concerns the block in slot 0
    const char *rest;  // and after it
    enum verdict verdict;
    const char *text; // that is said
};

static void run_text(const char *text)
{
    struct ops_error error;
    if (!ops_parse(&program, text, strlen(text), &error))
        _exit(9);
    for (size_t i = 0; i < program.count; i++)
        exec_op(&exec, &program.list[i]);
}

// In the child.
static bool body(void *arg, const uint8_t *data, size_t size)
{
    static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS };
    const struct flip *flip = arg;
    (void)data, (void)size;
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    if (!exec_init(&exec, &allocator_hakmem, 64))
        _exit(9);
    exec.fail = verdict_fail;
    exec.alone = true;
    exec.shadow.use_all = !TARGET_EXACT_BOUNDS;
    run_text(flip->setup);
    for (unsigned i = 0; i < flip->times; i++)
        corruption_flip(field(flip->name)->find(exec.slots[0].block.start, 0), flip->bit);
    run_text(flip->rest);
    verdict_end(&exec);
}

#define THREE "t0 s0 = malloc 100\nt0 s1 = malloc 100\nt0 s2 = malloc 100\n"
#define BIG "t0 s0 = malloc 5000\nt0 s1 = malloc 5000\nt0 s2 = malloc 5000\nt0 s3 = malloc 5000\n"
#define FREED "t0 free s1\nt0 free s2\nt0 free s3\nt0 flush\n"
#define ZEROED "t0 s1 = calloc 1 5000\nt0 s2 = calloc 1 5000\nt0 s3 = calloc 1 5000\n"
#define LARGE "t0 s0 = malloc 400000\n"
static const struct flip flips[] = {
    { NULL, 0, 0, THREE, "t0 free s0\nt0 s0 = malloc 90\n", VERDICT_HARMLESS, "" },
    { "class_index", 1, 2, THREE, "t0 free s0\nt0 flush\n", VERDICT_HARMLESS, "" },
    { "refilled", 3, 1, THREE, "t0 free s0\n", VERDICT_HARMLESS, "" },
    { "tag", 2, 1, "t0 s0 = malloc 64\n", "t0 free s0\n", VERDICT_FAULT, "free of #" },
    { "state", 0, 1, THREE, "t0 free s0\nt0 flush\n", VERDICT_FAULT, "corrupt record" },
    { "live (large)", 0, 1, LARGE, "t0 free s0\n", VERDICT_FAULT, "double free of # (" },
    { "pending", 0, 1, THREE, "", VERDICT_AUDIT, "token" },
    { "next block", 0, 1, THREE, "", VERDICT_SILENT, "contents changed" },
    { "touched", 1, 1, BIG FREED, ZEROED, VERDICT_SILENT, "calloc gave" },
    { "slots", 44, 1, THREE, "", VERDICT_CRASHED, "SIG" },
};

static struct judgement judge(const struct flip *flip)
{
    struct trial trial;
    assert_true(trial_run(&trial, NULL, 0, 60, body, (void *)(uintptr_t)flip));
    struct judgement j = verdict_judge(&trial);
    if (j.verdict != flip->verdict)
        print_message("%s: %s: %s\n%s\n", flip->name, verdict_names[j.verdict], j.text, trial.said);
    trial_free(&trial);
    return j;
}

static void test_verdicts(void **state)
{
    (void)state;
    if (HAK_MITIGATIONS != 0) // which tells some of it earlier, in other words
        skip();
    for (unsigned i = 0; i < sizeof flips / sizeof *flips; i++) {
        struct judgement j = judge(&flips[i]);
        assert_int_equal(j.verdict, flips[i].verdict);
        if (!strstr(j.text, flips[i].text))
            fail_msg("%s: '%s' is not in '%s'", flips[i].name, flips[i].text, j.text);
    }
}

static bool hang(void *arg, const uint8_t *data, size_t size)
{
    (void)arg, (void)data, (void)size;
    pause();
    return true;
}

static void test_hang(void **state)
{
    (void)state;
    struct trial trial;
    assert_true(trial_run(&trial, NULL, 0, 1, hang, NULL));
    assert_string_equal(trial.class.text, "hangs");
    assert_int_equal(verdict_judge(&trial).verdict, VERDICT_HUNG);
    trial_free(&trial);
}

// ---- the list ----

static void test_fields(void **state)
{
    (void)state;
    unsigned per_structure[STRUCTURE_COUNT] = { 0 };
    for (unsigned i = 0; i < corruption_field_count; i++) {
        per_structure[corruption_fields[i].structure]++;
        for (unsigned k = 0; k < i; k++)
            if (corruption_fields[i].structure == corruption_fields[k].structure)
                assert_string_not_equal(corruption_fields[i].name, corruption_fields[k].name);
    }
    for (unsigned s = 0; s < STRUCTURE_COUNT; s++)
        assert_true(per_structure[s] > 0);
}

static uint32_t value(const char *name, void *block)
{
    uint32_t v;
    struct corruption_bits bits = field(name)->find(block, 0);
    assert_int_equal(bits.count, 32);
    memcpy(&v, bits.start, sizeof v);
    return v;
}

// A field is where it says: records agree with tags and with each other. What a block does not
// have is not found.
static void test_places(void **state)
{
    (void)state;
    void *small = hak_malloc(200), *large = hak_malloc(400000);
    assert_int_equal(value("class_index", small), *field("tag")->find(small, 0).start);
    assert_int_equal(value("class_index (large)", large), *field("tag")->find(large, 0).start);
    assert_int_equal(value("blocks", small), field("free")->find(small, 0).count);
    assert_int_equal(value("live (large)", large), 1);
    assert_int_equal(value("back", small), 0);
    assert_int_equal(field("class_index")->find(large, 0).count, 0);
    assert_int_equal(field("live (large)")->find(small, 0).count, 0);
    hak_free(small);
    hak_free(large);
}

// Lines that differ in numbers and bytes alone are one text.
static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        { "corrupt record for 0x7f0123456780 (class 5, 80 bytes)",
          "corrupt record for # (class #, # bytes)" },
        { "write after free of 0x7f0123456780 (class 5, 80 bytes) at byte 19: 00, now 41",
          "write after free of # (class #, # bytes) at byte #: #, now #" },
        { "write past the end of 0xab (huge) at byte 0: be 00 1f, now ad 4e e1\nmore at byte 1 2",
          "write past the end of # (huge) at byte #: #, now #" },
        { "use after free of 0xab (sampled, 100 bytes) at byte 5",
          "use after free of # (sampled, # bytes) at byte #" },
        { "says be or 3 ad 4", "says be or # ad #" },
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        char said[200];
        snprintf(said, sizeof said, "before\nhakmem: %s\n", texts[i][0]);
        struct judgement j = verdict_judge(&(struct trial){ .status = SIGABRT, .said = said });
        assert_int_equal(j.verdict, VERDICT_FAULT);
        assert_string_equal(j.text, texts[i][1]);
    }
}

// The operation counts through all fields of a structure: each of its fields is reached.
static void test_numbers(void **state)
{
    (void)state;
    void *small = hak_malloc(50);
    bool reached[96] = { false };
    assert_true(corruption_field_count <= 96);
    for (unsigned structure = 0; structure < STRUCTURE_COUNT; structure++)
        for (uint64_t number = 0; number < 4000; number += 3) {
            struct corruption_bits bits;
            size_t bit;
            const struct corruption_field *f = corruption_locate(structure, small, number, &bits,
                                                                 &bit);
            if (f == NULL)
                continue;
            assert_int_equal(f->structure, structure);
            assert_true(bit < bits.count);
            reached[f - corruption_fields] = true;
        }
    for (unsigned i = 0; i < corruption_field_count; i++)
        if (corruption_fields[i].find != NULL && !reached[i] &&
            corruption_fields[i].find(small, 0).count >= 3)
            fail_msg("%s is not reached", corruption_fields[i].name);
    hak_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_hang),
        cmocka_unit_test(test_fields),   cmocka_unit_test(test_places),
        cmocka_unit_test(test_texts),    cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
