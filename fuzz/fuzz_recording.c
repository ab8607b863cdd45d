// fuzz_recording.c: the reader of recordings: whatever it makes of any bytes is a sound trace.
//
// Sound: it has an encoding that decodes to the same, and followed in order no operation puts a
// block into a slot that holds one, or uses a slot that holds none.
#include "target.h"

#include "../trace/recording.h"

#include <stdlib.h>
#include <string.h>

const char target_name[] = "fuzz_recording";

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

static void check_slots(void)
{
    bool *full = calloc(program.slots + 1u, sizeof *full);
    if (!full)
        exit(2);
    for (size_t i = 0; i < program.count; i++) {
        const struct op *op = &program.list[i];
        unsigned fields = ops_fields(op->kind);
        bool frees = op->kind == OP_FREE || (op->kind == OP_REALLOC && op->size == 0);
        if (fields & OPS_DST && full[op->slot])
            target_found(&program, op, "the slot is full");
        if (fields & OPS_SLOT && !full[op->slot])
            target_found(&program, op, "the slot is empty");
        if (fields & (OPS_DST | OPS_SLOT))
            full[op->slot] = !frees;
    }
    free(full);
}

static void check_encoding(void)
{
    struct ops_error error;
    size_t bytes = ops_encode(&program, OPS_TRACE, NULL, 0, &error);
    uint8_t *data = malloc(bytes ? bytes : 1);
    if (!data)
        exit(2);
    if (!bytes || ops_encode(&program, OPS_TRACE, data, bytes, &error) != bytes)
        target_found(&program, NULL, "the trace has no encoding");
    if (!ops_decode(&back, data, bytes, &error))
        target_found(&program, NULL, "the trace's encoding is refused");
    if (back.count != program.count || back.slots != program.slots)
        target_found(&program, NULL, "the trace's encoding says something else");
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recording_summary summary;
    struct ops_error error = { 0 };
    ops_clear(&program);
    bool ok = recording_decode(&program, &summary, data, size, &error);
    if (!ok && (error.reason[0] == 0 || error.where > size))
        target_found(&program, NULL, "an error without place or reason");
    // What came before an error is kept by some users: it is as sound.
    check_slots();
    check_encoding();
    return 0;
}
