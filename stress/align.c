// align: every aligned form, alignments from 1 to 8 MiB, sizes across all tiers.
//
// Catches: wrong alignment in any tier, an aligned block that its free or realloc does not find
// again, usable size below the request, wrong errors for alignments that are none, memory that
// alignment wastes without bound.
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SLOTS 48u
#define ALIGN_TOP_SHIFT 23
#define LIVE_PER_THREAD_MAX LOAD_BUDGET(32 * MIB)

struct member {
    struct run *run;
    unsigned index;
};

static void expect_aligned(struct worker *w, const void *p, size_t align, size_t n,
                           const char *call)
{
    if ((uintptr_t)p % align != 0)
        load_fail(w, "%s(%zu, %zu) returned %p", call, align, n, p);
    if (p != NULL && hak_malloc_usable_size((void *)p) < n)
        load_fail(w, "%s(%zu, %zu): usable size of %p is %zu", call, align, n, p,
                  hak_malloc_usable_size((void *)p));
}

static void take(struct worker *w, struct block *b)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t align = (size_t)1 << rng_below(&w->rng, ALIGN_TOP_SHIFT + 1);
    size_t n = rng_below(&w->rng, 4) == 0 ? align : block_common_size(&w->rng);
    void *p = NULL;
    int error;

    // Large alignments are rare in programs, and costly: one in eight stays.
    if (align > 64 * KIB && rng_below(&w->rng, 8) != 0)
        align = 4096;
    switch (rng_below(&w->rng, 5)) {
    case 0:
        block_take_aligned(w, b, align, n);
        expect_aligned(w, b->p, align, n, "aligned_alloc");
        return;
    case 1:
        if (align < sizeof(void *))
            align = sizeof(void *);
        worker_op(w, "posix_memalign");
        error = hak_posix_memalign(&p, align, n);
        if (error != 0)
            load_fail(w, "posix_memalign(%zu, %zu) returned %d", align, n, error);
        expect_aligned(w, p, align, n, "posix_memalign");
        break;
    case 2:
        worker_op(w, "memalign");
        p = hak_memalign(align, n);
        expect_aligned(w, p, align, n, "memalign");
        break;
    case 3:
        worker_op(w, "valloc");
        p = hak_valloc(n);
        expect_aligned(w, p, page, n, "valloc");
        break;
    default:
        worker_op(w, "pvalloc");
        p = hak_pvalloc(n);
        expect_aligned(w, p, page, (n + page - 1) / page * page, "pvalloc");
        break;
    }
    block_adopt(w, b, p, n);
}

// Requests that must be refused, and must leave nothing behind.
static void refuse(struct worker *w)
{
    void *untouched = w;
    void *p = untouched;
    size_t bad = rng_between(&w->rng, 1, 1000) * 2 + 1; // odd, above 2

    worker_op(w, "posix_memalign");
    errno = 7;
    if (hak_posix_memalign(&p, bad, 10) != EINVAL || p != untouched || errno != 7)
        load_fail(w, "posix_memalign with alignment %zu: pointer %p, errno %d", bad, p, errno);
    if (hak_posix_memalign(&p, 4096, (size_t)PTRDIFF_MAX) != ENOMEM || p != untouched || errno != 7)
        load_fail(w, "posix_memalign of PTRDIFF_MAX bytes: pointer %p, errno %d", p, errno);
    worker_op(w, "aligned_alloc");
    errno = 0;
    p = hak_aligned_alloc(*(volatile size_t *)&bad, 10);
    // Peers accept it (glibc before 2.38) or refuse it.
    if (!LOAD_PEER && (p != NULL || errno != EINVAL))
        load_fail(w, "aligned_alloc with alignment %zu returned %p, errno %d", bad, p, errno);
    hak_free(p);
    worker_op(w, NULL);
}

static void *member_thread(void *arg)
{
    struct member *m = arg;
    struct worker *w = worker_begin(m->run, "align", m->index);
    struct block blocks[SLOTS] = { { 0 } };

    while (!load_over(m->run)) {
        struct block *b = &blocks[rng_below(&w->rng, SLOTS)];
        uint64_t kind = rng_below(&w->rng, 32);

        if (b->p == NULL && atomic_load(&w->live_bytes) < (int64_t)LIVE_PER_THREAD_MAX)
            take(w, b);
        else if (b->p != NULL && kind < 4)
            block_resize(w, b, block_common_size(&w->rng));
        else if (b->p != NULL)
            block_give(w, b);
        if (kind == 5)
            refuse(w);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (blocks[i].p != NULL)
            block_give(w, &blocks[i]);
    }
    worker_end(w);
    return NULL;
}

static void align_load(struct run *r)
{
    struct member *members = load_books(r->threads, sizeof *members);

    for (unsigned i = 0; i < r->threads; i++)
        members[i] = (struct member){ r, i };
    load_threads_run(r->threads, member_thread, members, sizeof *members);
    free(members);
}

const struct load load_align = {
    .name = "align",
    .help = "every aligned form, alignments to 8 MiB, all tiers, and what must be refused",
    .arguments = "",
    .threads = 8,
    .run = align_load,
};
