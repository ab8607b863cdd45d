// corrupt_table.c: how often a flipped bit is detected, harmless or silent, field by field.
//
//   corrupt_table [--trials N] [--seeds N] [--operations N] [--field NAME]
//
//   this process
//     a child per seed: runs random operations to a heap that is in use
//       a child per trial: flips one bit of one field that serves a live block, runs as many more
//                          operations (a third of them on blocks of that size), audits, frees
//                          everything, audits; its end is the verdict
//       and a second one:  flips the same bit and audits at once
//
// Everything follows from the seed: the operations, the block, the bit. One in sixteen operations
// runs in a second thread, so that records have remote frees. Prints tab-separated lines for
// scripts/corrupt:
//   row  STRUCTURE FIELD WHAT TRIALS VERDICT... (in the order of enum verdict) AUDIT-AT-ONCE
//   said STRUCTURE FIELD VERDICT COUNT TEXT
// Exit: 0 done, 1 an uncorrupted execution was not clean or a field was never found, 2 usage.
#include "corruption.h"
#include "target.h"
#include "verdict.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 160u
#define CHILD_SECONDS 20u
#define SAID_MAX 40u
#define FIELDS_MAX 96u

struct said {
    enum verdict verdict;
    unsigned count;
    char text[160];
};

struct row {
    unsigned trials, counts[VERDICT_COUNT], at_once;
    struct said said[SAID_MAX]; // distinct texts; what finds no room is counted above only
};

// Shared with the children that run the trials.
static struct table {
    unsigned unclean;
    char why[200];
    struct row rows[FIELDS_MAX];
} * table;

static unsigned trials = 32, seeds = 4, operations = 1000;
static const char *only_field;
static struct exec exec;
static const char *structure_names[] = {
#define NAME_OF(id, name) name,
    OPS_STRUCTURES(NAME_OF)
#undef NAME_OF
};

// ---- random operations ----

// xorshift64*, S. Vigna, 2016.
static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(uint64_t n)
{
    return (next_random() >> 16) % n;
}

static void seed_random(uint64_t a, uint64_t b, uint64_t c)
{
    random_state = (a * 0x9e3779b97f4a7c15ull) ^ (b << 32) ^ (c * 0xbf58476d1ce4e5b9ull) ^ 1;
    for (unsigned i = 0; i < 8; i++)
        next_random();
}

// A third of the requests after a flip are for blocks like the one that it concerns: that is where
// it matters.
static uint64_t hot_size;

static uint64_t random_size(void)
{
    if (hot_size != 0 && below(3) == 0)
        return hot_size;
    uint64_t kind = below(100);
    if (kind < 70)
        return below(1025);
    if (kind < 90)
        return below(GEOMETRY_SMALL ? 4096 : 32768);
    if (kind < 98)
        return below(GEOMETRY_SMALL ? 40000 : 400000);
    return below(GEOMETRY_SMALL ? 200000 : 3000000);
}

static struct op random_op(void)
{
    static const uint8_t kinds[] = {
        OP_MALLOC, OP_MALLOC, OP_MALLOC, OP_MALLOC, OP_MALLOC,   OP_MALLOC,         OP_CALLOC,
        OP_CALLOC, OP_FREE,   OP_FREE,   OP_FREE,   OP_FREE,     OP_FREE,           OP_REALLOC,
        OP_TOUCH,  OP_FREE,   OP_MALLOC, OP_FREE,   OP_MEMALIGN, OP_POSIX_MEMALIGN, OP_USABLE_SIZE,
    };
    struct op op = { .kind = kinds[below(sizeof kinds)],
                     .slot = (uint32_t)below(SLOTS),
                     .size = random_size(),
                     .arg = 1,
                     .thread = below(16) == 0 };
    if (op.kind == OP_MEMALIGN || op.kind == OP_POSIX_MEMALIGN)
        op.arg = (uint64_t)16 << below(9);
    switch (below(100)) {
    case 0:
        return (struct op){ .kind = OP_FLUSH };
    case 1:
        return (struct op){ .kind = OP_TICK, .size = 20 };
    case 2:
        return (struct op){ .kind = below(4) ? OP_FLUSH : OP_TRIM };
    default:
        return op;
    }
}

static void *run_there(void *op)
{
    exec_op(&exec, op);
    return NULL;
}

static void run_operations(void)
{
    for (unsigned i = 0; i < operations; i++) {
        struct op op = random_op();
        pthread_t thread;
        if (op.thread == 0 || pthread_create(&thread, NULL, run_there, &op) != 0)
            exec_op(&exec, &op);
        else
            pthread_join(thread, NULL);
    }
}

// ---- one trial ----

struct plan {
    const struct corruption_field *field; // NULL: nothing is corrupted
    uint32_t slot;
    uint64_t choice, bit;
    bool at_once;
};

static bool find_block(struct plan *plan)
{
    uint32_t first = (uint32_t)below(SLOTS);
    plan->choice = next_random();
    for (uint32_t i = 0; i < SLOTS; i++) {
        plan->slot = (first + i) % SLOTS;
        struct exec_slot *slot = &exec.slots[plan->slot];
        if (atomic_load(&slot->state) != SLOT_FULL)
            continue;
        struct corruption_bits bits = plan->field->find(slot->block.start, plan->choice);
        if (bits.count != 0) {
            plan->bit = below(bits.count);
            return true;
        }
    }
    return false;
}

// In the child.
static bool run_trial(void *arg, const uint8_t *data, size_t size)
{
    const struct plan *plan = arg;
    (void)data, (void)size;
    alarm(CHILD_SECONDS / 2);
    exec.fail = verdict_fail;
    if (plan->field) {
        void *block = exec.slots[plan->slot].block.start;
        hot_size = exec.slots[plan->slot].block.asked;
        corruption_flip(plan->field->find(block, plan->choice), plan->bit);
    }
    if (plan->at_once)
        verdict_audit(&exec);
    run_operations();
    verdict_end(&exec);
}

static void note_said(struct row *row, const struct judgement *j)
{
    struct said *s = row->said;
    while (s < row->said + SAID_MAX && s->count != 0 &&
           (s->verdict != j->verdict || strcmp(s->text, j->text) != 0))
        s++;
    if (s == row->said + SAID_MAX)
        return;
    s->verdict = j->verdict;
    s->count++;
    memcpy(s->text, j->text, sizeof s->text);
}

static struct judgement judge(struct plan *plan, bool at_once)
{
    struct trial trial;
    plan->at_once = at_once;
    if (!trial_run(&trial, NULL, 0, CHILD_SECONDS, run_trial, plan)) {
        fprintf(stderr, "corrupt_table: cannot start a child\n");
        _exit(2);
    }
    struct judgement j = verdict_judge(&trial);
    trial_free(&trial);
    return j;
}

static void try_field(unsigned index, unsigned seed, unsigned number)
{
    struct plan plan = { .field = &corruption_fields[index] };
    struct row *row = &table->rows[index];
    seed_random(seed, index + 1, number + 1);
    if (!find_block(&plan))
        return;
    struct judgement j = judge(&plan, false);
    row->trials++;
    row->counts[j.verdict]++;
    note_said(row, &j);
    row->at_once += judge(&plan, true).verdict != VERDICT_HARMLESS;
}

// ---- all of them ----

static void unclean(struct exec *e, const struct op *op, const char *reason)
{
    (void)e, (void)op;
    snprintf(table->why, sizeof table->why, "%s", reason);
    table->unclean++;
    _exit(1);
}

static void run_seed(unsigned seed)
{
    if (!exec_init(&exec, &allocator_hakmem, SLOTS))
        _exit(2);
    exec.fail = unclean;
    exec.alone = true;
    exec.live_bytes_max = GEOMETRY_SMALL ? 8u << 20 : 48u << 20;
    exec.shadow.use_all = true;
    seed_random(seed, 0, 0);
    run_operations();
    exec.allocator->free(exec.allocator->malloc(1)); // a thread that flushed last has no heap
    // The control: the same without a flip is harmless, or nothing below means anything.
    struct plan none = { 0 };
    struct judgement j = judge(&none, false);
    if (j.verdict != VERDICT_HARMLESS)
        unclean(&exec, NULL, j.text);
    for (unsigned i = 0; i < corruption_field_count; i++)
        for (unsigned k = seed; k < trials && corruption_fields[i].find != NULL; k += seeds)
            if (!only_field || strcmp(only_field, corruption_fields[i].name) == 0)
                try_field(i, seed, k);
    _exit(0);
}

static void print_table(void)
{
    for (unsigned i = 0; i < corruption_field_count; i++) {
        const struct corruption_field *f = &corruption_fields[i];
        const struct row *row = &table->rows[i];
        if (f->find == NULL)
            continue;
        const char *structure = structure_names[f->structure];
        printf("row\t%s\t%s\t%s\t%u", structure, f->name, f->what, row->trials);
        for (unsigned v = 0; v < VERDICT_COUNT; v++)
            printf("\t%u", row->counts[v]);
        printf("\t%u\n", row->at_once);
        for (unsigned k = 0; k < SAID_MAX && row->said[k].count != 0; k++)
            printf("said\t%s\t%s\t%s\t%u\t%s\n", structure, f->name,
                   verdict_names[row->said[k].verdict], row->said[k].count, row->said[k].text);
    }
}

static bool is_number(const char *text, unsigned *n)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *n = (unsigned)value;
    return *text != 0 && *end == 0 && value > 0 && value <= 1000000;
}

static bool parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc)
            return false;
        else if (strcmp(argv[i], "--field") == 0)
            only_field = argv[i + 1];
        else if (!(strcmp(argv[i], "--trials") == 0 && is_number(argv[i + 1], &trials)) &&
                 !(strcmp(argv[i], "--seeds") == 0 && is_number(argv[i + 1], &seeds)) &&
                 !(strcmp(argv[i], "--operations") == 0 && is_number(argv[i + 1], &operations)))
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: corrupt_table [--trials N] [--seeds N] [--operations N] "
                        "[--field NAME]\n");
        return 2;
    }
    if (seeds > trials)
        seeds = trials;
    table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED || corruption_field_count > FIELDS_MAX) {
        fprintf(stderr, "corrupt_table: no room for the table\n");
        return 2;
    }
    for (unsigned seed = 0; seed < seeds; seed++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            run_seed(seed);
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
            fprintf(stderr, "corrupt_table: seed %u: without corruption: status 0x%x %s\n", seed,
                    (unsigned)status, table->why);
            return 1;
        }
    }
    print_table();
    for (unsigned i = 0; i < corruption_field_count; i++)
        if (table->rows[i].trials == 0 && !only_field && corruption_fields[i].find != NULL) {
            fprintf(stderr, "corrupt_table: no block had the field '%s'\n",
                    corruption_fields[i].name);
            return 1;
        }
    return 0;
}
