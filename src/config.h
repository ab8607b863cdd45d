// config.h: all geometry and every fixed limit, with the relation between each pair of them.
//
// Nothing here can be changed at run time. GEOMETRY_SMALL (set by the Makefile, 0 or 1) shrinks
// the numbers and nothing else, so that states that are rare in the shipped geometry (a slab that
// becomes empty, a full magazine, a run that crosses units) are common in a test of a few steps.
#ifndef HAK_CONFIG_H
#define HAK_CONFIG_H

#include "base.h"

#define is_power_of_two_constant(n) ((n) != 0 && ((n) & ((n)-1)) == 0)

#define SMALL_OR(small, normal) (GEOMETRY_SMALL ? (small) : (normal))

// ---- mitigations of the hardened flavour: bits of HAK_MITIGATIONS, 0 in all other flavours ----
// SECURITY.md says for each what it stops and what not. Each works alone; code asks for one with
// `if (MITIGATE_X && ...)`, so that without it nothing is left of the question.
#define MITIGATE_STATE ((HAK_MITIGATIONS & 1) != 0)       // a byte per block: handed out or not
#define MITIGATE_POINTERS ((HAK_MITIGATIONS & 2) != 0)    // exact checks of pointers and sizes
#define MITIGATE_ZERO ((HAK_MITIGATIONS & 4) != 0)        // zero at free, verified at reuse
#define MITIGATE_CANARY ((HAK_MITIGATIONS & 8) != 0)      // behind each block, checked at free
#define MITIGATE_QUARANTINE ((HAK_MITIGATIONS & 16) != 0) // freed blocks wait for their reuse
#define MITIGATE_RANDOM ((HAK_MITIGATIONS & 32) != 0)     // which free block is refilled
#define MITIGATE_GUARDS ((HAK_MITIGATIONS & 64) != 0)     // inaccessible pages around large blocks
#define MITIGATE_SEAL ((HAK_MITIGATIONS & 128) != 0)      // what is immutable is read-only
#define MITIGATE_EMPTY ((HAK_MITIGATIONS & 256) != 0)     // blocks of size 0 are inaccessible
#define MITIGATE_SWEEP ((HAK_MITIGATIONS & 512) != 0)  // zero at free, verified from time to time
#define MITIGATE_TYPES ((HAK_MITIGATIONS & 1024) != 0) // units keep their class
#define MITIGATIONS_ALL 2047
_Static_assert((HAK_MITIGATIONS & ~MITIGATIONS_ALL) == 0, "no unknown bit");

// ---- the ceiling: bits of HAK_CEILING, 0 in everything that is installed ----
// What a build leaves out whose only use is to measure what that costs (bench/ceiling). Code says
// `if (!WITHOUT_X && ...)`, so that in all other builds nothing is left of the question.
#define WITHOUT_CHECKS ((HAK_CEILING & 1) != 0)     // mistakes of the caller, damaged records
#define WITHOUT_PURGE ((HAK_CEILING & 2) != 0)      // memory and caches are kept for ever
#define WITHOUT_SLOW_START ((HAK_CEILING & 4) != 0) // a magazine has its full size at once
#define WITHOUT_TAGS ((HAK_CEILING & 8) != 0)       // free_sized believes the size it is told
#define WITHOUT_FOREIGN ((HAK_CEILING & 16) != 0)   // what is freed is ours, or NULL
#define CEILING_ALL 31
_Static_assert((HAK_CEILING & ~CEILING_ALL) == 0, "no unknown bit");
_Static_assert(HAK_CEILING == 0 || HAK_MITIGATIONS == 0, "a ceiling is release's");

// ---- arena, SuperSlab, unit (bytes) ----
#define UNIT_SHIFT SMALL_OR(12, 16)
#define UNIT_SIZE ((size_t)1 << UNIT_SHIFT)
#define SUPERSLAB_UNITS 32u
#define SUPERSLAB_SHIFT (UNIT_SHIFT + 5)
#define SUPERSLAB_SIZE ((size_t)1 << SUPERSLAB_SHIFT)
// (In the small geometry a guard takes a whole unit.)
#define ARENA_SIZE_MAX SMALL_OR((size_t)(MITIGATE_GUARDS ? 128 : 64) << 20, (size_t)1 << 40)
#define ARENA_SIZE_MIN (2 * SUPERSLAB_SIZE)
_Static_assert(SUPERSLAB_UNITS *UNIT_SIZE == SUPERSLAB_SIZE, "units tile a SuperSlab");
_Static_assert(2 * SUPERSLAB_UNITS == 64, "EMPTY and UNUSED masks share one 64-bit word");
_Static_assert(ARENA_SIZE_MAX % SUPERSLAB_SIZE == 0, "SuperSlabs tile the arena");
_Static_assert(ARENA_SIZE_MAX >> UNIT_SHIFT <= UINT32_MAX, "a unit index fits in 32 bits");

// ---- size classes: steps of 16 to CLASS_LINEAR_MAX, then CLASSES_PER_DOUBLING per doubling ----
#define MALLOC_ALIGN 16u
#define CLASS_LINEAR_MAX ((size_t)128)
#define CLASSES_PER_DOUBLING 4u
#define CLASS_SIZE_MAX SMALL_OR((size_t)16 << 10, (size_t)256 << 10)
#define CLASS_DOUBLINGS SMALL_OR(7u, 11u)
#define CLASS_COUNT (8u + CLASSES_PER_DOUBLING * CLASS_DOUBLINGS)
// Class 0 is TAG_NONE: a zero page of the tag table says "no block here".
#define TAG_NONE 0u
#define CLASS_FIRST 1u
#define CLASS_LAST CLASS_COUNT
#define TAG_LARGE (CLASS_COUNT + 1u)
#define TAG_HUGE (CLASS_COUNT + 2u)
// Blocks of classes that are sampled for the profile; the record says which class.
#define TAG_PROFILED (CLASS_COUNT + 3u)
#define TAG_COUNT (CLASS_COUNT + 4u)
// In reports only: a block of size 0, which lies outside of the arena.
#define TAG_EMPTY TAG_COUNT
// Requests up to this go through the table that lies in the heap (one load, no arithmetic).
#define TABLE_SIZE_MAX ((size_t)1024)
#define TABLE_DOUBLINGS 3u
#define TABLE_CLASS_LAST (8u + CLASSES_PER_DOUBLING * TABLE_DOUBLINGS)
_Static_assert(CLASS_LINEAR_MAX << CLASS_DOUBLINGS == CLASS_SIZE_MAX, "doublings reach the top");
_Static_assert(CLASS_LINEAR_MAX << TABLE_DOUBLINGS == TABLE_SIZE_MAX, "and the table's theirs");
_Static_assert(TAG_COUNT <= 64, "a tag indexes a heap's magazines and fits in a byte");
_Static_assert(CLASS_SIZE_MAX <= SUPERSLAB_SIZE / 8, "a slab of the largest class fits");

// ---- slabs ----
// Of requests from here up (bytes) a slab wastes a quarter at most, ...
#define WASTE_SIZE_MIN ((size_t)64)
#define WASTE_SHIFT 2
#define SLAB_TAIL_SHIFT 4 // ... a sixteenth of it in its tail, in an arena smaller than
#define ARENA_ROOMY SMALL_OR((size_t)32 << 20, (size_t)16 << 30)
#define SLAB_BLOCKS_WANTED 4u // a class of many units wants at least so many blocks per slab
#define SLAB_BLOCKS_MAX (UNIT_SIZE / 16)
#define SLAB_WORDS_MAX (SLAB_BLOCKS_MAX / 64)
// Classes from here up are refilled with used blocks first, then block by block, so that calloc
// knows a block that no one has touched since the kernel zeroed its pages.
#define ZERO_TRACKED_MIN SMALL_OR((size_t)512, (size_t)4096)
// Of blocks up to here a heap keeps an empty slab for a while. With mitigations they go through it
// one by one: the quarantine holds the others back.
#define KEPT_SIZE_MAX (HAK_MITIGATIONS != 0 ? UNIT_SIZE + UNIT_SIZE / 4 : UNIT_SIZE / 2)
// The allocator's record of a unit: two lines of fields, then the first words of the free and of
// the remote bitmap. The words of slabs of many blocks that do not fit lie in a table of their own,
// so that records are dense and other slabs do not touch it.
#define RECORD_WORDS SMALL_OR(2u, 8u) // a line of words
#define RECORD_SIZE SMALL_OR((size_t)192, (size_t)256)
#define FAR_LINES (SLAB_WORDS_MAX / RECORD_WORDS - 1)
#define FAR_SIZE (2 * FAR_LINES * RECORD_WORDS * sizeof(uint64_t))
_Static_assert(SLAB_WORDS_MAX % RECORD_WORDS == 0, "bitmaps are whole lines");
_Static_assert(SLAB_WORDS_MAX >= 1 && SLAB_WORDS_MAX <= 64, "bitmaps are 1 to 64 words");

// ---- large and huge ----
#define LARGE_SIZE_MAX (SUPERSLAB_SIZE / 2)
// Blocks of a greater alignment are mappings of their own: the arena grows from its begin on, and
// would commit all that lies before a multiple of it.
#define ARENA_ALIGN_MAX (32 * SUPERSLAB_SIZE)
// Of a large run, so much may stay committed beyond its last page before the tail is given back.
#define LARGE_TAIL_SHIFT 2
_Static_assert(LARGE_SIZE_MAX > CLASS_SIZE_MAX, "the large tier begins where classes end");
// A block that realloc makes larger than this gets units of its own, in which it grows in place.
// Where it leaves a block of so many bytes or more, that goes past the magazine.
#define GROWN_SIZE_MIN (3 * UNIT_SIZE)
#define GROWN_PAST_MIN (UNIT_SIZE / 4)
// Freed large and huge blocks that a heap keeps: at most so many, of at most so many units in all
// (4.5 MiB: two of 2 MiB, one of 4 with what a program puts in front of it).
#define RECENT_RUNS_MAX 4u
#define RECENT_UNITS_MAX SMALL_OR(40u, 72u)
#define RECENT_ARENA_SHARE 256u // and at most this part of the arena: no other thread gets at them

// ---- magazines (blocks): capacities are 2^k - 1, so that with its sentinel one fills a power of 2
#define MAGAZINE_BLOCKS_START SMALL_OR(1u, 3u)
// What the magazine of a class of at most half a unit may hold at least, whatever the options say,
// and what each of them may hold without a look at the others: that many bytes of blocks.
#define MAGAZINE_BLOCKS_LEAST SMALL_OR(3u, 15u)
#define MAGAZINE_BYTES_SURE SMALL_OR((size_t)64, (size_t)8192)
#define MAGAZINE_BLOCKS_MAX SMALL_OR(3u, 1023u)
#define CACHE_CLASSES 16u // a heap's magazines may hold so many times what one of them may, beyond
#define MAGAZINE_GROWTH_SHIFT 2
#define MAGAZINE_RUN_MAX 5u      // misses of one kind until half a magazine moves at once ...
#define MAGAZINE_BATCH_LEAST 16u // ... and the blocks that always may
#define REFILL_SLABS_MAX 4u      // slabs that one refill takes from
_Static_assert(is_power_of_two_constant(MAGAZINE_BLOCKS_START + 1), "with the sentinel");
_Static_assert(is_power_of_two_constant(MAGAZINE_BLOCKS_MAX + 1), "with the sentinel");

// ---- metadata memory (bytes) ----
#define META_SIZE_MIN SMALL_OR((size_t)1 << 20, (size_t)2 << 20)
#define META_ARENA_SHIFT SMALL_OR(3, 6) // else this share of the arena
#define META_CHUNK_MIN ((size_t)64)
#define GUARD_SIZE SMALL_OR((size_t)4096, (size_t)65536)

// ---- heaps, purging, sweeping ----
#define HEAPS_MAX SMALL_OR(256u, 65536u)
#define SWEEP_HEAPS_MAX SMALL_OR(2u, 8u)  // idle heaps looked at by one sweep
#define POOL_PROBES_MAX SMALL_OR(4u, 64u) // SuperSlabs looked at before a new one is begun

// ---- what follows from the mitigations ----
// What is done to each block of a class, as it is handed out and as it comes back.
#define MITIGATE_BLOCKS                                                                           \
    (MITIGATE_STATE || MITIGATE_POINTERS || MITIGATE_ZERO || MITIGATE_CANARY || MITIGATE_SWEEP || \
     MITIGATE_QUARANTINE)
// ... which is so little that it has its place on the hit paths.
#define MITIGATES_BRIEFLY \
    (!MITIGATE_ZERO && !MITIGATE_CANARY && !MITIGATE_SWEEP && !MITIGATE_QUARANTINE)
#define USES_RANDOM (MITIGATE_RANDOM || MITIGATE_QUARANTINE || MITIGATE_GUARDS)
// Blocks that are not handed out read as zero.
#define FREE_IS_ZERO (MITIGATE_ZERO || MITIGATE_SWEEP)
#define CANARY_BYTES (MITIGATE_CANARY ? (size_t)8 : (size_t)0)
// Of what lies between a block that grew and its guard, so many bytes are looked at.
#define CANARY_ROOM ((size_t)64)
// Requests above are served by the large tier.
#define CLASS_REQUEST_MAX (CLASS_SIZE_MAX - CANARY_BYTES)

// What is sealed after start lies on pages of its own; where pages are larger it is not sealed.
#define SEAL_BYTES ((size_t)4096)
#define ON_SEALED_PAGE __attribute__((aligned(MITIGATE_SEAL ? SEAL_BYTES : sizeof(void *))))
// Freed large blocks that are held back: of each heap, and of all (as GUARDS_MAX); the addresses of
// one heap's are at most the arena's by HELD_ARENA_SHARE.
#define HELD_BLOCKS_MAX 32u
#define HELD_TOTAL_MAX 4096u
#define HELD_ARENA_SHARE 64u
// Of each heap's, so many units keep their memory (4.5 MiB), for the purge delay at most; up to so
// many (32 MiB) while all heaps together keep less than that (64 MiB).
#define HELD_WARM_SURE RECENT_UNITS_MAX
#define HELD_WARM_UNITS SMALL_OR(80u, 512u)
#define HELD_WARM_TOTAL (2 * HELD_WARM_UNITS)
// Clearing a held block of more bytes asks the system first which pages are in memory, so many of
// them at a time.
#define CLEAR_PLAIN_MAX SMALL_OR(2 * UNIT_SIZE, 16 * UNIT_SIZE)
#define CLEAR_PAGES SMALL_OR((size_t)4, (size_t)1024)
// A held block may be so many units longer than a request that it serves.
#define HELD_SPARE_UNITS 4u
// ... and so many times longer than a request of a block that grows.
#define HELD_GROWTH 3u
// Each guard splits a mapping in up to three; vm.max_map_count is 65530 unless raised.
#define GUARDS_MAX 16384u
// The guards of a large block: units before it that are 1 or 2 times as many as its alignment (1
// bit), and so many random bits of units more behind it than it needs.
#define GUARD_FIRST_BITS SMALL_OR(0u, 1u)
#define GUARD_RANDOM_BITS SMALL_OR(1u, 2u)
_Static_assert(2 * GUARDS_MAX + 3 * HELD_TOTAL_MAX <= 49152, "a quarter is left to the program");
// SuperSlabs that are begun at a time where their order is random.
#define SUPERSLABS_AHEAD SMALL_OR(2u, 8u)
// Blocks of size 0 that can be handed out at a time; more are served as one byte.
#define EMPTY_BLOCKS SMALL_OR(4096u, 1u << 20)
// Blocks that no one had are used from so many bytes of a slab at a time, so many blocks at least;
// each block is one of the first free ones of so many bytes together, so many blocks at least.
#define RANDOM_WINDOW_BYTES SMALL_OR((size_t)512, (size_t)4096)
#define RANDOM_BLOCKS_MIN ((size_t)8)
#define RANDOM_NEAR_BYTES ((size_t)256)
#define RANDOM_NEAR_MIN ((size_t)4)
_Static_assert(RANDOM_NEAR_BYTES / MALLOC_ALIGN <= 64, "blocks of one word");
// What a sweep looks at, of the blocks in a heap's slabs and magazines.
#define SWEEP_BYTES_MAX ((size_t)256 << 10)
// Of each heap, twice, for blocks of at most QUARANTINE_SHORT_MAX bytes and for longer ones: blocks
// in a random order, then in the order in which they left that; the bytes of the longer ones.
#define QUARANTINE_SHUFFLED SMALL_OR(8u, 64u)
#define QUARANTINE_QUEUE SMALL_OR(16u, 128u)
#define QUARANTINE_BLOCKS_MAX (QUARANTINE_SHUFFLED + QUARANTINE_QUEUE)
#define QUARANTINE_SHORT_MAX SMALL_OR((size_t)256, (size_t)1024)
#define QUARANTINE_BYTES_MAX SMALL_OR((uint64_t)16 << 10, (uint64_t)128 << 10)

// ---- prewarm: size classes that the option names, and bytes of all their blocks, in one heap ----
#define PREWARM_CLASSES_MAX 32u
#define PREWARM_BYTES_MAX SMALL_OR((size_t)64 << 10, (size_t)16 << 20)
#define PREWARM_THREADS_MAX 64u // heaps that are kept ready for threads to come
_Static_assert(PREWARM_BYTES_MAX >= CLASS_SIZE_MAX, "a block of any class can be asked for");

// ---- sampled allocations, in every flavour (sampled.h) ----
#define SAMPLED_BLOCKS SMALL_OR(8u, 64u)
#define SAMPLED_SIZE_MAX ((size_t)64 << 10) // more than a page, less than a mapping of its own
#define STACK_FRAMES 24u

// ---- profile (profile.h): what its tables hold, at most ----
#define PROFILE_FRAMES 64u    // of one stack
#define PROFILE_FRAMES_OWN 8u // of the allocator above them
#define PROFILE_STACKS_MAX SMALL_OR(64u, 32768u)
#define PROFILE_LOCATIONS_MAX SMALL_OR(1024u, 65536u)
#define PROFILE_SAMPLES_MAX SMALL_OR(512u, 1u << 20)
#define PROFILE_HASH_BITS SMALL_OR(6, 15)
#define PROFILE_HASH_BITS_FIRST SMALL_OR(1, 9) // half a page for each table

// PTRDIFF_MAX: larger requests fail with ENOMEM, as ISO C's pointer subtraction needs.
#define REQUEST_MAX ((size_t)PTRDIFF_MAX)

#endif
