// fuzz_ops.c: the operation language against itself: whatever strict decoding or parsing accepts
// says the same in all three forms, and a binary file has one encoding.
#include "target.h"

#include <stdlib.h>
#include <string.h>

const char target_name[] = "fuzz_ops";

#define ROOM 2048u // more than an input of the hunt can say

static struct ops program, back;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    if (!ops_reserve(&program, ROOM, ROOM) || !ops_reserve(&back, ROOM, ROOM))
        exit(2);
    return 0;
}

static void must(bool condition, const char *what)
{
    if (!condition)
        target_found(&program, NULL, what);
}

static void compare(void)
{
    must(program.count == back.count && program.decision_count == back.decision_count &&
             program.slots == back.slots && program.header.threads == back.header.threads &&
             program.header.seed == back.header.seed &&
             program.header.strategy == back.header.strategy,
         "a form changes counts or the header");
    for (size_t i = 0; i < program.count; i++) {
        const struct op *a = &program.list[i], *b = &back.list[i];
        must(a->kind == b->kind && a->thread == b->thread && a->slot == b->slot &&
                 a->size == b->size && a->arg == b->arg,
             "a form changes an operation");
    }
    for (size_t i = 0; i < program.decision_count; i++)
        must(memcmp(&program.decisions[i], &back.decisions[i], sizeof *back.decisions) == 0,
             "a form changes a decision");
}

static void through_binary(enum ops_form form, const uint8_t *original, size_t size)
{
    struct ops_error error;
    size_t bytes = ops_encode(&program, form, NULL, 0, &error);
    if (bytes == 0) {
        must(form == OPS_RECORDS && !original, "a program has no encoding in its own form");
        return;
    }
    uint8_t *data = malloc(bytes);
    must(data && ops_encode(&program, form, data, bytes, &error) == bytes, "sizes differ");
    must(!original || (bytes == size && memcmp(data, original, size) == 0),
         "a file that was accepted has another encoding");
    must(ops_decode(&back, data, bytes, &error), "what was encoded is refused");
    free(data);
    compare();
}

static void through_text(void)
{
    struct ops_error error;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    must(out != NULL, "no memory");
    ops_print(&program, out);
    fclose(out);
    must(ops_parse(&back, text, bytes, &error), "what was printed is refused");
    free(text);
    compare();
}

static int run(bool accepted, const struct ops_error *error, const uint8_t *binary, size_t size)
{
    if (!accepted) {
        must(error->reason[0] != 0 && error->where <= size + 1, "an error without place or reason");
        must(program.count == 0 && program.decision_count == 0, "a refused program is not empty");
        return 0;
    }
    enum ops_form form = binary ? (enum ops_form)program.header.form : OPS_RECORDS;
    // An open count is closed by encoding, so such a file has another encoding.
    bool open = binary && memcmp(binary + 16, "\xff\xff\xff\xff", 4) == 0;
    through_binary(form, open ? NULL : binary, size);
    through_binary(form == OPS_TRACE ? OPS_RECORDS : OPS_TRACE, NULL, 0);
    through_text();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ops_error error = { 0 };
    if (size >= 4 && memcmp(data, "HAKO", 4) == 0)
        return run(ops_decode(&program, data, size, &error), &error, data, size);
    return run(ops_parse(&program, (const char *)data, size, &error), &error, NULL, size);
}
