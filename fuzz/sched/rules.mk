# The deterministic scheduler: included by the top Makefile.
#
# Flavours sched*: src/*.c as they are, over the seams in fuzz/sched/seam. Their objects become one,
# OUT/allocator.o, whose .data and .bss are named hak_state: process.c restores them between
# executions. OUT/libsched.a is the scheduler; it is never instrumented for coverage or for races.
#
#   OUT/replay/TARGET, OUT/hunt/TARGET    as in fuzz/rules.mk, for the targets on logical threads
#   OUT/walk/TARGET                       runs a corpus under one strategy, seed after seed
#   OUT/tests/model/{litmus,planted,protocol}

SCHED_FLAVOURS := sched sched-asan sched-fuzz sched-tsan sched-afl sched-afl-plain \
    sched-afl-cmplog
SCHED_GEOMETRIES := default small
FLAVOURS += $(SCHED_FLAVOURS)
CFLAGS_sched := -O2
CFLAGS_sched-afl := -O1 -fno-omit-frame-pointer $(SANITIZE_ADDRESS) \
    -fsanitize-address-use-after-return=never
CFLAGS_sched-afl-plain := -O2
CFLAGS_sched-afl-cmplog := -O2
CFLAGS_sched-asan := $(CFLAGS_sched-afl) -fno-sanitize-address-globals-dead-stripping
CFLAGS_sched-fuzz := $(CFLAGS_sched-asan) -fsanitize=fuzzer-no-link \
    -fno-sanitize-coverage=stack-depth
# Only src/ is instrumented for races; everything else tells the tool what it needs (races.h).
CFLAGS_sched-tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread
$(foreach f,$(SCHED_FLAVOURS),$(eval INCLUDES_$(f) := -Ifuzz/sched -Isrc) \
    $(eval SOURCES_$(f) := $(filter-out src/seam/%,$(SOURCES))))

SCHED_SOURCES := $(sort $(wildcard fuzz/sched/*.c))
SCHED_STATE := $(foreach s,.data .bss .data.rel .data.rel.local,--rename-section \
    $(s)=hak_state,alloc,load,data,contents)
# Sections with variables that the renaming missed: with -fdata-sections, say. Where the counters of
# coverage lie is no state of ours.
SCHED_MISSED := awk '$$2 ~ /^[.]t?(data|bss)/ && $$2 !~ /rel[.]ro|__llvm_profile/ && $$3 !~ /^0+$$/'

# How the scheduler and, where only src/ is instrumented, the harness are compiled. Three files tell
# AddressSanitizer of stacks and pages. afl-clang-fast instruments whatever it compiles: clang.
# $(1) flavour, $(2) compiler, $(3) geometry
sched_plain = $(patsubst afl-%-fast,%,$(1))
sched_cc = $(call hak_cc,sched,$(call sched_plain,$(2)),$(3)) \
    $(if $(filter sched-tsan,$(1)),-DSCHED_TSAN=1)
sched_told_cc = $(call hak_cc,$(SCHED_TOLD_AS_$(1)),$(call sched_plain,$(2)),$(3))
# Flavours whose three files are told, and the flavour as which they are compiled for that.
SCHED_TOLD_AS_sched-asan := sched-asan
SCHED_TOLD_AS_sched-fuzz := sched-asan
SCHED_TOLD_AS_sched-afl := sched-afl
SCHED_TOLD := fiber process system

# $(1) folder, $(2) folder of sources
define sched_compile
$(1)/$(2)/%.o: $(2)/%.c $(1)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$$(SCHED_CC) -MMD -MP -c -o $$@ $$<
endef

SCHED_SCENARIOS := scenarios scenarios_whole scenarios_ending scenarios_lock scenarios_watched

# A cross compiler's linker and tools have its prefix. $(1) compiler
sched_tool = $(patsubst %gcc,%,$(filter %-gcc,$(1)))

# $(1) flavour, $(2) compiler, $(3) geometry, $(4) folder
define sched_rules
$(call hak_use,$(1),$(2),$(3))
$(4)/allocator.o: $(4)/libhakmem-prefixed.a
	$(call hak_say,state)$(call sched_tool,$(2))ld -r -o $$@ --whole-archive $$< && \
	    $(call sched_tool,$(2))objcopy $(SCHED_STATE) $$@
	@! $(call sched_tool,$(2))objdump -h $$@ | $(subst $$,$$$$,$(SCHED_MISSED)) | grep . || \
	    { echo '$$@: variables outside of hak_state' >&2; rm $$@; exit 1; }
$(4)/fuzz/%.o $(4)/tests/model/%.o: SCHED_CC = $(call sched_cc,$(1),$(2),$(3))
$(if $(SCHED_TOLD_AS_$(1)),\
    $(SCHED_TOLD:%=$(4)/fuzz/sched/%.o): SCHED_CC = $(call sched_told_cc,$(1),$(2),$(3)))
$(call sched_compile,$(4),fuzz/sched)
$(if $(filter sched-tsan,$(1)),$(call sched_compile,$(4),fuzz)
$(call sched_compile,$(4),tests/model))
$(4)/libsched.a: $(patsubst %.c,$(4)/%.o,$(SCHED_SOURCES))
	@rm -f $$@
	$(call hak_say,archive)ar rcsD $$@ $$^
$(4)/tests/model/%: $(4)/tests/model/%.o $(4)/libsched.a
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -o $$@ \
	    $$(filter %.o,$$^) $$(filter %.a,$$^)
# The mutex that seam/lock.h replaces, over the scheduler's atomics and without its thread-local
# word: scenarios_lock.c is its kernel.
$(4)/tests/model/lock.o: src/seam/lock.c $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$$(SCHED_CC) -UHAK_CHECKED -DHAK_CHECKED=0 -Dsyscall=model_futex \
	    -MMD -MP -c -o $$@ $$<
$(4)/tests/model/litmus: $(4)/tests/model/litmus_tests.o
$(4)/tests/model/protocol: $(SCHED_SCENARIOS:%=$(4)/tests/model/%.o) $(4)/tests/model/lock.o \
    $(4)/allocator.o
endef

# ---- targets on logical threads ----

SCHED_TARGETS := fuzz_sched fuzz_reuse fuzz_exit fuzz_os fuzz_profile
SCHED_CANARIES := fuzz_deaths
SCHED_PARTS := fuzz/scheduled.c fuzz/census.c fuzz/lives.c fuzz/exec.c fuzz/exec_heap.c \
    fuzz/exec_child.c fuzz/shadow.c fuzz/allocator.c fuzz/target.c fuzz/ops.c \
    fuzz/ops_decode.c fuzz/ops_text.c

# $(1) flavour, $(2) compiler, $(3) geometry, $(4) folder, $(5) folder of the programs, $(6) target,
# $(7) more parts of the hunter
define sched_target_rules
$(5)/replay/$(6): $(call hak_objects,$(4),fuzz/$(6).c $(SCHED_PARTS) fuzz/replay.c) \
    $(4)/allocator.o $(4)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -o $$@ $$^
$(5)/hunt/$(6): $(call hak_objects,$(4),fuzz/$(6).c $(SCHED_PARTS) $(7)) \
    $(if $(7),$(FUZZ_SPECIES)) $(4)/allocator.o $(4)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -fsanitize=fuzzer \
	    $(if $(7),$(FUZZ_SPECIES_LDFLAGS)) -o $$@ $$^
$(5)/walk/$(6): $(call hak_objects,$(4),fuzz/$(6).c $(SCHED_PARTS) fuzz/walk.c fuzz/species.c) \
    $(4)/allocator.o $(4)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -o $$@ $$^
endef

# $(1) flavour, $(2) compiler, $(3) flavour whose folder has the programs, $(4) more parts
sched_use = $(foreach g,$(SCHED_GEOMETRIES),$(eval $(call \
    sched_rules,$(1),$(2),$(g),$(call hak_out,$(1),$(2),$(g)))) \
    $(foreach t,$(SCHED_TARGETS) $(SCHED_CANARIES),$(eval $(call \
    sched_target_rules,$(1),$(2),$(g),$(call \
    hak_out,$(1),$(2),$(g)),$(call hak_out,$(3),$(2),$(g)),$(t),$(4)))))

$(call sched_use,sched,$(CC),sched)
$(foreach f,sched-asan sched-fuzz sched-tsan,$(call sched_use,$(f),$(CLANG),$(f),\
    fuzz/mutator.c fuzz/mutator_libfuzzer.c))
# AFL++ looks for all its programs in the folders of the flavour `afl`; it loads its mutator.
$(foreach f,afl afl-plain afl-cmplog,$(call sched_use,sched-$(f),$(AFL_CC),$(f)))

# ---- the scheduler itself, and the protocols ----

SCHED_MODEL := $(call hak_out,sched,$(CC),small)/tests/model
SCHED_ORDERS := $(call hak_out,sched-tsan,$(CLANG),small)/tests/model/protocol

SCHED_RATE := $(foreach i,$(call hak_out,sched,$(CC),small) $(call hak_out,sched,$(CC),default) \
    $(call hak_out,sched-asan,$(CLANG),small),$(i)/replay/fuzz_sched)

.PHONY: litmus planted reduction model races orders rate
litmus: $(SCHED_MODEL)/litmus ## the model of memory against the classic litmus tests
	@$(UNDER) $<
planted: $(SCHED_MODEL)/planted ## the scheduler against planted bugs, with each strategy
	@$(UNDER) $<
reduction: $(SCHED_MODEL)/protocol ## that the search of `make model` leaves nothing out (ONLY=)
	@$< reduction $(ONLY)
model: litmus planted reduction ## every execution of the protocols, as a table
	@scripts/model $(SCHED_MODEL)/protocol
races: $(SCHED_ORDERS) ## the same scenarios by chance, plain accesses judged by ThreadSanitizer
	@TSAN_OPTIONS=report_bugs=1:halt_on_error=1 $< sample
orders: $(SCHED_ORDERS) ## each memory order weakened: which scenario falls
	@TSAN_OPTIONS="report_bugs=1:exitcode=0:log_path=/dev/null" scripts/model $< orders
# Each input runs twice.
rate: $(SCHED_RATE) ## executions a second of processor time: 3 threads, 30 operations
	@TIMEFORMAT=%U; for p in $^; do \
	    s=$$({ time ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 \
	        $$p --times 10000 corpus/fuzz_sched/seed/thirty.ops >/dev/null; } 2>&1) && \
	    awk -v s="$$s" -v p="$$p" 'BEGIN { printf "%8.0f  %s\n", 20000 / s, p }' || exit 1; done
