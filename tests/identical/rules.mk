# tests/identical/rules.mk: the proof that the release library is what was tested, but for the
# assertions: `make identical`. scripts/identical has the proofs; here is what they need built.
#
#   OUT/identical/fuzz_api     the release and the audit library under a log of all calls
#   OUT/identical/fuzz_sched   the same on logical threads, with and without assertions

IDENTICAL_API := malloc calloc realloc reallocarray aligned_alloc memalign posix_memalign valloc \
    pvalloc free free_sized free_aligned_sized malloc_usable_size malloc_trim thread_flush
IDENTICAL_WRAP_API := $(IDENTICAL_API:%=-Wl,--wrap=hak_%)
IDENTICAL_WRAP := $(IDENTICAL_WRAP_API) \
    $(foreach f,mmap munmap mprotect madvise mremap,-Wl,--wrap=$(f))
IDENTICAL_GEOMETRIES := default small

# The scheduler's build without assertions.
FLAVOURS += sched-unchecked
CFLAGS_sched-unchecked := $(CFLAGS_sched)
CHECKED_sched-unchecked := 0
INCLUDES_sched-unchecked := $(INCLUDES_sched)
SOURCES_sched-unchecked := $(SOURCES_sched)
$(foreach g,$(IDENTICAL_GEOMETRIES),$(eval $(call \
    sched_rules,sched-unchecked,$(CC),$(g),$(call hak_out,sched-unchecked,$(CC),$(g)))))

# The objects of the library but for its seams, as one: fuzz/world.c puts their variables back.
# $(1) flavour, $(2) geometry, $(3) folder
define identical_rules
$(call hak_use,$(1),$(CC),$(2))
$(3)/identical/allocator.o: $(call hak_objects,$(3),$(filter-out \
    src/seam/% $(STANDARD_NAMES),$(SOURCES)))
	@mkdir -p $$(@D)
	$(call hak_say,state)ld -r -o $$@ $$^ && objcopy $(SCHED_STATE) $$@
$(3)/identical/fuzz_api: $(call hak_objects,$(3),fuzz/fuzz_api.c $(FUZZ_PARTS_fuzz_api) \
    fuzz/replay.c tests/identical/log.c tests/identical/log_system.c) \
    $(3)/identical/allocator.o $(3)/libhakmem-prefixed.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(CC),$(2)) $(FUZZ_WRAP) $(IDENTICAL_WRAP) \
	    -o $$@ $$^
endef

define identical_sched_rules
$(3)/identical/fuzz_sched: $(call hak_objects,$(3),fuzz/fuzz_sched.c $(SCHED_PARTS) \
    fuzz/replay.c tests/identical/log.c) $(3)/allocator.o $(3)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(CC),$(2)) $(IDENTICAL_WRAP_API) -o $$@ $$^
endef

identical_each = $(foreach g,$(IDENTICAL_GEOMETRIES),$(foreach f,$(1),$(eval $(call \
    $(2),$(f),$(g),$(call hak_out,$(f),$(CC),$(g))))))
$(call identical_each,release audit,identical_rules)
$(call identical_each,sched sched-unchecked,identical_sched_rules)

# A planted side effect, which the log must show: an assertion that calls the system.
IDENTICAL_AUDIT := $(call hak_out,audit,$(CC),small)
$(IDENTICAL_AUDIT)/identical/lock.o: src/seam/lock.c tests/identical/rules.mk \
    $(IDENTICAL_AUDIT)/flags
	@mkdir -p $(@D)
	@sed 's/HAK_ASSERT(old != FREE)/HAK_ASSERT(os_reserve(4096, 4096) != NULL || old)/' $< | \
	    sed '1i#include <seam/os.h>' >$(@:.o=.c)
	@grep -q 'HAK_ASSERT(os_reserve' $(@:.o=.c)
	$(if $(V),,@echo '  compile $@' && )$(call hak_cc,audit,$(CC),small) \
	    $(ALLOCATOR_CFLAGS) -Isrc/seam -c -o $@ $(@:.o=.c)
$(IDENTICAL_AUDIT)/identical/planted: $(call hak_objects,$(IDENTICAL_AUDIT),fuzz/fuzz_api.c \
    $(FUZZ_PARTS_fuzz_api) fuzz/replay.c tests/identical/log.c tests/identical/log_system.c) \
    $(addprefix $(IDENTICAL_AUDIT)/,identical/lock.o identical/allocator.o libhakmem-prefixed.a)
	$(if $(V),,@echo '  link $@' && )$(call hak_link,audit,$(CC),small) $(FUZZ_WRAP) \
	    $(IDENTICAL_WRAP) -o $@ $^

# How each flavour is compiled, for the table of sizes and offsets: OUT/flags.
IDENTICAL_FLAVOURS := release audit hardened asan asan-user tsan msan valgrind fuzz sched \
    sched-asan sched-tsan sched-unchecked
IDENTICAL_FLAGS := $(foreach f,$(IDENTICAL_FLAVOURS),$(call \
    hak_use,$(f),$(CLANG),default)$(call hak_out,$(f),$(CLANG),default)/flags)
IDENTICAL_PROGRAMS := $(foreach g,$(IDENTICAL_GEOMETRIES),\
    $(foreach f,release audit,$(call hak_out,$(f),$(CC),$(g))/identical/fuzz_api) \
    $(foreach f,sched sched-unchecked,$(call hak_out,$(f),$(CC),$(g))/identical/fuzz_sched)) \
    $(IDENTICAL_AUDIT)/identical/planted

.PHONY: identical
identical: $(IDENTICAL_PROGRAMS) $(IDENTICAL_FLAGS) ## release is what was tested
	@+CC=$(CC) CLANG=$(CLANG) HAK_FLAVOURS="$(IDENTICAL_FLAVOURS)" scripts/tally identical -- \
	    scripts/identical $(PROOF)
