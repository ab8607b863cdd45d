# The deterministic scheduler: included by the top Makefile.
#
# Flavours sched*: src/*.c as they are, over the seams in fuzz/sched/seam. Their objects become one,
# OUT/allocator.o, whose .data and .bss are named hak_state: process.c restores them between
# executions. OUT/libsched.a is the scheduler; it is never instrumented for coverage or for races.

SCHED_FLAVOURS := sched sched-asan sched-fuzz sched-tsan sched-afl
FLAVOURS += $(SCHED_FLAVOURS)
CFLAGS_sched := -O2
CFLAGS_sched-asan := -O1 -fno-omit-frame-pointer $(SANITIZE_ADDRESS) \
    -fno-sanitize-address-globals-dead-stripping -fsanitize-address-use-after-return=never
CFLAGS_sched-fuzz := $(CFLAGS_sched-asan) -fsanitize=fuzzer-no-link \
    -fno-sanitize-coverage=stack-depth
CFLAGS_sched-afl := -O1 -fno-omit-frame-pointer $(SANITIZE_ADDRESS) -fsanitize-address-use-after-return=never
# Only src/ is instrumented for races; everything else tells the tool what it needs (races.h).
CFLAGS_sched-tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread
$(foreach f,$(SCHED_FLAVOURS),$(eval INCLUDES_$(f) := -Ifuzz/sched -Isrc) \
    $(eval SOURCES_$(f) := $(filter-out src/seam/%,$(SOURCES))))

SCHED_SOURCES := $(sort $(wildcard fuzz/sched/*.c))
SCHED_TOLD := fiber process system
SCHED_STATE := $(foreach s,.data .bss .data.rel .data.rel.local,--rename-section \
    $(s)=hak_state,alloc,load,data,contents)

# afl-clang-fast -> clang, which instruments nothing of itself.
sched_plain = $(patsubst afl-%-fast,%,$(1))

# $(1) flavour, $(2) compiler, $(3) geometry, $(4) folder
define sched_rules
$(call hak_use,$(1),$(2),$(3))
$(4)/allocator.o: $(4)/libhakmem-prefixed.a
	$(call hak_say,state)ld -r -o $$@ --whole-archive $$< && objcopy $(SCHED_STATE) $$@
	@! objdump -h $$@ | awk '$$$$2 ~ /^\.(data|bss|tdata|tbss)/ && $$$$2 !~ /rel\.ro/ && $$$$3 !~ /^0+$$$$/' | \
	    grep . || { echo '$$@: variables outside of hak_state' >&2; exit 1; }
# Instrumented as little as possible: only what tells AddressSanitizer of stacks and pages.
$(4)/fuzz/%.o $(4)/tests/model/%.o: SCHED_CC = $(call hak_cc,sched,$(call sched_plain,$(2)),$(3)) $(if $(filter sched-tsan,$(1)),-DSCHED_TSAN=1)
$(if $(filter sched-asan sched-fuzz sched-afl,$(1)),$(SCHED_TOLD:%=$(4)/fuzz/sched/%.o): \
    SCHED_CC = $(call hak_cc,$(if $(filter sched-afl,$(1)),sched-afl,sched-asan),$(call sched_plain,$(2)),$(3)))
$(4)/fuzz/sched/%.o: fuzz/sched/%.c $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$$(SCHED_CC) -MMD -MP -c -o $$@ $$<
$(if $(filter sched-tsan,$(1)),$(4)/fuzz/%.o: fuzz/%.c $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$$(SCHED_CC) -MMD -MP -c -o $$@ $$<
$(4)/tests/model/%.o: tests/model/%.c $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$$(SCHED_CC) -MMD -MP -c -o $$@ $$<)
$(4)/libsched.a: $(patsubst %.c,$(4)/%.o,$(SCHED_SOURCES))
	@rm -f $$@
	$(call hak_say,archive)ar rcsD $$@ $$^
$(4)/tests/model/%: $(4)/tests/model/%.o $(4)/libsched.a
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^)
endef
SCHED_GEOMETRIES := default small
$(foreach g,$(SCHED_GEOMETRIES),$(eval $(call sched_rules,sched,$(CC),$(g),$(call \
    hak_out,sched,$(CC),$(g)))))
$(foreach g,$(SCHED_GEOMETRIES),$(foreach f,sched-asan sched-fuzz sched-tsan,$(eval $(call \
    sched_rules,$(f),$(CLANG),$(g),$(call hak_out,$(f),$(CLANG),$(g))))))

$(foreach g,$(SCHED_GEOMETRIES),$(eval $(call sched_rules,sched-afl,$(AFL_CC),$(g),$(call \
    hak_out,sched-afl,$(AFL_CC),$(g)))))

SCHED_OUT := $(call hak_out,sched,$(CC),small)
SCHED_TSAN_OUT := $(call hak_out,sched-tsan,$(CLANG),small)
$(foreach o,$(SCHED_OUT) $(SCHED_TSAN_OUT),$(eval \
    $(o)/tests/model/protocol: $(o)/tests/model/scenarios.o $(o)/allocator.o))

.PHONY: litmus
litmus: $(SCHED_OUT)/tests/model/litmus ## the model of memory against the classic litmus tests
	@$<

.PHONY: planted
planted: $(SCHED_OUT)/tests/model/planted ## the scheduler against planted bugs, each strategy
	@$<

.PHONY: model orders
model: litmus planted $(SCHED_OUT)/tests/model/protocol ## every execution of the protocols, within bounds
	@$(SCHED_OUT)/tests/model/protocol
orders: $(SCHED_TSAN_OUT)/tests/model/protocol ## which memory order which scenario needs
	@TSAN_OPTIONS="report_bugs=1:exitcode=0:log_path=/dev/null" $< weaken

# ---- targets on logical threads ----

SCHED_TARGETS := fuzz_sched fuzz_reuse fuzz_exit fuzz_os
SCHED_PARTS := fuzz/scheduled.c fuzz/census.c fuzz/exec.c fuzz/exec_heap.c fuzz/exec_child.c fuzz/shadow.c \
    fuzz/allocator.c fuzz/target.c fuzz/ops.c fuzz/ops_decode.c fuzz/ops_text.c

# $(1) flavour, $(2) compiler, $(3) geometry, $(4) folder, $(5) target
define sched_target_rules
$(4)/replay/$(5): $(call hak_objects,$(4),fuzz/$(5).c $(SCHED_PARTS) fuzz/replay.c) \
    $(4)/allocator.o $(4)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^)
$(4)/hunt/$(5): $(call hak_objects,$(4),fuzz/$(5).c $(SCHED_PARTS) fuzz/mutator.c \
    fuzz/mutator_libfuzzer.c) $(4)/allocator.o $(4)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -fsanitize=fuzzer -o $$@ $$^
endef
$(foreach t,$(SCHED_TARGETS),$(foreach g,$(SCHED_GEOMETRIES),$(eval $(call \
    sched_target_rules,sched,$(CC),$(g),$(call hak_out,sched,$(CC),$(g)),$(t))) \
    $(foreach f,sched-asan sched-fuzz sched-tsan,$(eval $(call \
    sched_target_rules,$(f),$(CLANG),$(g),$(call hak_out,$(f),$(CLANG),$(g)),$(t))))))

# AFL++ looks for all its programs in the folders of the flavour `afl`.
# $(1) geometry, $(2) folder of sched-afl, $(3) folder of afl, $(4) target
define sched_afl_rules
$(3)/hunt/$(4): $(call hak_objects,$(2),fuzz/$(4).c $(SCHED_PARTS)) $(2)/allocator.o $(2)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,sched-afl,$(AFL_CC),$(1)) -fsanitize=fuzzer -o $$@ $$^
$(3)/replay/$(4): $(call hak_objects,$(2),fuzz/$(4).c $(SCHED_PARTS) fuzz/replay.c) \
    $(2)/allocator.o $(2)/libsched.a
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,sched-afl,$(AFL_CC),$(1)) -o $$@ $$^
endef
$(foreach t,$(SCHED_TARGETS),$(foreach g,$(SCHED_GEOMETRIES),$(eval $(call \
    sched_afl_rules,$(g),$(call hak_out,sched-afl,$(AFL_CC),$(g)),$(call \
    hak_out,afl,$(AFL_CC),$(g)),$(t)))))
