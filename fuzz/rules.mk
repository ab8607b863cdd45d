# fuzz/rules.mk: fuzz targets, their replay programs, the ops tool and its tests.
#
# A target of fuzz/registry is linked, per flavour of the hunt and geometry, as
#   OUT/hunt/TARGET      with libFuzzer (flavours fuzz and fuzz-tsan, compiler CLANG)
#   OUT/replay/TARGET    without an engine (any flavour and compiler): runs files
#   $(BUILD)/afl-.../hunt/TARGET   with AFL++ (scripts/hunt ENGINE=afl)
# The harness stands between the allocator and its os.c by --wrap: no object of src/ differs.

FLAVOURS += fuzz-tsan afl afl-plain afl-cmplog
CFLAGS_fuzz-tsan := $(CFLAGS_tsan) -fsanitize=fuzzer-no-link
CFLAGS_afl := -O1 -fno-omit-frame-pointer $(SANITIZE_ADDRESS)
# For a campaign's secondary instances: without the sanitizer, and with the values of comparisons.
CFLAGS_afl-plain := -O2
CFLAGS_afl-cmplog := -O2
AFL_CC ?= afl-clang-fast

FUZZ_WRAPPED := reserve commit decommit release move extend protect_none hide stow \
    unstow unstow_none clock_ms
FUZZ_WRAP := $(FUZZ_WRAPPED:%=-Wl,--wrap=hak_os_%) -Wl,--wrap=hak_thread_start
CFLAGS_fuzz += -fno-sanitize-address-globals-dead-stripping

# The allocator above its seams as one object, with its variables in a section that fuzz/world.c can
# put back; what a harness links in front of the archive, which then gives the seams only.
# $(1) flavour, $(2) folder
define fuzz_state_rules
$(2)/allocator-state.o: $(call hak_objects,$(2),$(filter-out \
    src/seam/% $(STANDARD_NAMES),$(call hak_sources,$(1))))
	$(call hak_say,state)ld -r -o $$@ $$^ && objcopy $$(SCHED_STATE) $$@
	@! objdump -h $$@ | $$(SCHED_MISSED) | grep . || \
	    { echo '$$@: variables outside of hak_state' >&2; rm $$@; exit 1; }
endef
fuzz_allocator = $(1)/allocator-state.o $(1)/libhakmem-prefixed.a

# What each target is made of, besides its own file.
FUZZ_LANGUAGE := fuzz/ops.c fuzz/ops_decode.c fuzz/ops_text.c
FUZZ_ORACLE := $(FUZZ_LANGUAGE) fuzz/exec.c fuzz/exec_heap.c fuzz/exec_child.c fuzz/shadow.c \
    fuzz/allocator.c fuzz/os_fault.c fuzz/target.c
FUZZ_TARGETS := fuzz_api fuzz_threads fuzz_canary fuzz_sizeclass fuzz_slab fuzz_units fuzz_remote \
    fuzz_mapped fuzz_options fuzz_ops fuzz_recording fuzz_corrupt
FUZZ_WORLD := fuzz/world.c fuzz/sched/pristine.c
FUZZ_SINGLE := $(FUZZ_ORACLE) $(FUZZ_WORLD) fuzz/single.c
FUZZ_PARTS_fuzz_api := $(FUZZ_SINGLE)
FUZZ_PARTS_fuzz_threads := $(FUZZ_ORACLE)
FUZZ_PARTS_fuzz_canary := $(FUZZ_SINGLE)
FUZZ_PARTS_fuzz_corrupt := $(FUZZ_SINGLE) fuzz/corruption.c fuzz/verdict.c fuzz/trial.c
FUZZ_PARTS_fuzz_sizeclass := fuzz/target.c fuzz/os_fault.c $(FUZZ_LANGUAGE)
$(foreach t,slab units remote mapped,$(eval FUZZ_PARTS_fuzz_$(t) := \
    fuzz/target.c fuzz/os_fault.c $(FUZZ_LANGUAGE) $(FUZZ_WORLD)))
FUZZ_PARTS_fuzz_options := fuzz/target.c fuzz/os_fault.c $(FUZZ_LANGUAGE)
FUZZ_PARTS_fuzz_ops := fuzz/target.c fuzz/os_fault.c $(FUZZ_LANGUAGE)
FUZZ_PARTS_fuzz_recording := $(FUZZ_PARTS_fuzz_ops) trace/recording.c trace/slot_map.c
FUZZ_LDFLAGS_fuzz_options := -Wl,--wrap=hak_os_write_error -Wl,--wrap=hak_os_read_file
# Targets of the operation language have its mutator.
FUZZ_MUTATED := fuzz_api fuzz_threads fuzz_canary fuzz_corrupt

# Hunters count, for campaigns, in how many executions each feature was seen; not instrumented.
FUZZ_SPECIES = $(call hak_objects,$(call hak_out,audit,$(CC),default),\
    fuzz/species.c fuzz/species_libfuzzer.c)
FUZZ_SPECIES_LDFLAGS := -Wl,--wrap=LLVMFuzzerTestOneInput

# $(1) flavour, $(2) compiler, $(3) geometry, $(4) its folder, $(5) target
define fuzz_target_rules
$(4)/hunt/$(5): $(call hak_objects,$(4),fuzz/$(5).c $(FUZZ_PARTS_$(5)) \
    $(if $(filter $(5),$(FUZZ_MUTATED)),fuzz/mutator.c fuzz/mutator_libfuzzer.c)) \
    $(FUZZ_SPECIES) $(call fuzz_allocator,$(4))
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -fsanitize=fuzzer \
	    $(FUZZ_SPECIES_LDFLAGS) $(FUZZ_WRAP) $(FUZZ_LDFLAGS_$(5)) -o $$@ $$^
$(4)/replay/$(5): $(call hak_objects,$(4),fuzz/$(5).c $(FUZZ_PARTS_$(5)) fuzz/replay.c) \
    $(call fuzz_allocator,$(4))
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) \
	    $(FUZZ_WRAP) $(FUZZ_LDFLAGS_$(5)) -o $$@ $$^
endef

# $(1) flavour, $(2) compiler, $(3) geometry
define fuzz_use
$(call hak_use,$(1),$(2),$(3))
$(eval $(call fuzz_state_rules,$(1),$(call hak_out,$(1),$(2),$(3))))
$(foreach t,$(FUZZ_TARGETS),$(eval $(call \
    fuzz_target_rules,$(1),$(2),$(3),$(call hak_out,$(1),$(2),$(3)),$(t))))
endef
$(foreach g,default small,$(foreach f,fuzz fuzz-tsan,$(call fuzz_use,$(f),$(CLANG),$(g))))

# AFL++ brings its driver; its mutator is a library that afl-fuzz loads.
# $(1) flavour, $(2) geometry, $(3) folder, $(4) target
define fuzz_afl_rules
$(3)/hunt/$(4): $(call hak_objects,$(3),fuzz/$(4).c $(FUZZ_PARTS_$(4))) \
    $(call fuzz_allocator,$(3))
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(AFL_CC),$(2)) -fsanitize=fuzzer \
	    $(FUZZ_WRAP) $(FUZZ_LDFLAGS_$(4)) -o $$@ $$^
$(3)/replay/$(4): $(call hak_objects,$(3),fuzz/$(4).c $(FUZZ_PARTS_$(4)) fuzz/replay.c) \
    $(call fuzz_allocator,$(3))
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(AFL_CC),$(2)) \
	    $(FUZZ_WRAP) $(FUZZ_LDFLAGS_$(4)) -o $$@ $$^
endef
AFL_FLAVOURS := afl afl-plain afl-cmplog
$(foreach f,$(AFL_FLAVOURS),$(foreach g,default small,$(call hak_use,$(f),$(AFL_CC),$(g)) \
    $(eval $(call fuzz_state_rules,$(f),$(call hak_out,$(f),$(AFL_CC),$(g)))) \
    $(foreach t,$(FUZZ_TARGETS),$(eval $(call \
    fuzz_afl_rules,$(f),$(g),$(call hak_out,$(f),$(AFL_CC),$(g)),$(t))))))
# afl-clang-fast is told by the environment.
$(BUILD)/afl-cmplog-% $(BUILD)/sched-afl-cmplog-%: export AFL_LLVM_CMPLOG := 1
# What the kernel and the clock decide (an address that is aligned by luck, how much a read brings),
# and what the execution before left to clean up, is no coverage: afl-clang-fast instruments
# whatever it compiles, so clang compiles these.
# $(1) flavour, $(2) geometry, $(3) folder, $(4) source without .c
define fuzz_uncounted_rules
$(3)/$(4).o: $(4).c $(3)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$(call hak_cc,$(1),$(patsubst afl-%-fast,%,$(AFL_CC)),$(2)) \
	    $(ALLOCATOR_CFLAGS) -MMD -MP -c -o $$@ $$<
endef
$(foreach f,$(AFL_FLAVOURS),$(foreach g,default small,\
    $(foreach s,src/seam/os fuzz/os_fault fuzz/exec_child fuzz/trial fuzz/sched/pristine,\
    $(eval $(call fuzz_uncounted_rules,$(f),$(g),$(call hak_out,$(f),$(AFL_CC),$(g)),$(s))))))
$(BUILD)/afl-mutator.so: $(call hak_objects,$(call hak_out,audit,$(CC),default),\
    fuzz/mutator.c fuzz/mutator_afl.c $(FUZZ_LANGUAGE))
	$(call hak_say,link)$(call hak_link,audit,$(CC),default) -shared -o $@ $^
$(foreach g,default small,$(call fuzz_use,audit,$(CC),$(g)))

.PHONY: ops fuzz-replay
ops: $(BUILD)/ops ## the converter of operation files: text, records, traces
$(BUILD)/ops: $(call hak_objects,$(call hak_out,audit,$(CC),default),\
    $(FUZZ_LANGUAGE) fuzz/ops_tool.c)
	$(call hak_say,link)$(call hak_link,audit,$(CC),default) -o $@ $^

$(call hak_test_needs,unit/test_ops,$(FUZZ_LANGUAGE:.c=.o))
$(call hak_test_needs,unit/test_mutator,$(FUZZ_LANGUAGE:.c=.o) fuzz/mutator.o)
$(call hak_test_needs,unit/test_shadow,$(FUZZ_LANGUAGE:.c=.o) fuzz/exec.o fuzz/exec_heap.o \
    fuzz/exec_child.o fuzz/shadow.o)

# ---- corpora ----

# CC's plain builds, and clang's under ASan+UBSan, replay the whole corpus, with AFL++'s compiler,
# another LLVM, where it is installed; targets on logical threads under the races of
# ThreadSanitizer's fibers too. For scripts/tally.
AFL_IS_HERE = $(shell command -v $(AFL_CC))
REPLAYS_CC = $(foreach g,default small,\
    $(FUZZ_TARGETS:%=$(call hak_out,audit,$(CC),$(g))/replay/%) \
    $(SCHED_TARGETS:%=$(call hak_out,sched,$(CC),$(g))/replay/%))
REPLAYS_CLANG = $(foreach g,default small,\
    $(FUZZ_TARGETS:%=$(call hak_out,fuzz,$(CLANG),$(g))/replay/%) \
    $(if $(AFL_IS_HERE),$(FUZZ_TARGETS:%=$(call hak_out,afl,$(AFL_CC),$(g))/replay/%)) \
    $(foreach f,sched-asan sched-tsan,\
    $(SCHED_TARGETS:%=$(call hak_out,$(f),$(CLANG),$(g))/replay/%)))
# For the valgrind flavour it is memcheck that looks on. It takes long for what is reserved, and
# each input begins with a new arena.
ifeq ($(TEST_FLAVOUR),valgrind)
replay: export HAKMEM_OPTIONS := arena_mib=512
$(foreach g,default small,$(call fuzz_use,valgrind,$(CC),$(g)))
REPLAYS_CC = $(foreach g,default small,\
    $(FUZZ_TARGETS:%=$(call hak_out,valgrind,$(CC),$(g))/replay/%))
REPLAYS_CLANG =
endif
.PHONY: replay replay-cc repro
.SECONDEXPANSION:
replay: $$(REPLAYS_CC) $$(REPLAYS_CLANG) ## run all kept inputs of all targets, without an engine
	@scripts/tally replay -- scripts/replay $^
replay-cc: $$(REPLAYS_CC) ## the same in the plain builds of CC only
	@scripts/tally replay-cc -- scripts/replay $^

# How reports look: what scripts/test-deaths runs.
DEATHS = $(foreach f,$(call hak_out,sched,$(CC),small)/replay \
    $(call hak_out,sched-asan,$(CLANG),small)/replay \
    $(call hak_out,sched-tsan,$(CLANG),small)/replay \
    $(call hak_out,sched-fuzz,$(CLANG),small)/hunt \
    $(if $(AFL_IS_HERE),$(call hak_out,afl,$(AFL_CC),small)/hunt),$(f)/fuzz_deaths)
.PHONY: deaths
deaths: $$(DEATHS) $(BUILD)/ops ## however an input dies, each engine says why, and the same
	@scripts/tally deaths -- scripts/test-deaths
repro: ## run one input under the checks and say what it does (FILE=)
	@scripts/repro $(if $(FILE),'$(FILE)' $(TARGET))
