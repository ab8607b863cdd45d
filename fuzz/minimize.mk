# fuzz/minimize.mk: the minimiser and the corruption tables; included by the top Makefile, last.
#
# OUT/minimize/TARGET is a target's replay program with minimize.c in place of replay.c.

MINIMIZE_PARTS := fuzz/minimize.c fuzz/shrink.c fuzz/trial.c fuzz/emit.c

# $(1) flavour, $(2) compiler, $(3) geometry, $(4) folder, $(5) target, $(6) its parts, $(7) others
define minimize_rules
$(4)/minimize/$(5): $(call hak_objects,$(4),fuzz/$(5).c $(6) $(sort $(filter-out \
    $(6),$(MINIMIZE_PARTS) fuzz/ops.c fuzz/ops_decode.c fuzz/ops_text.c))) $(7)
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_link,$(1),$(2),$(3)) -o $$@ \
	    $$(filter %.o,$$^) $$(filter %.a,$$^) $(if $(filter sched%,$(1)),,$(FUZZ_WRAP)) \
	    $(FUZZ_LDFLAGS_$(5))
# A C test that minimize wrote, linked with the harness it replays itself through.
$(4)/emitted/$(5): $(filter %.c,$(FILE)) $(call hak_objects,$(4),fuzz/$(5).c $(6)) $(7) FORCE
	@mkdir -p $$(@D)
	$(call hak_say,link)$(call hak_cc,$(1),$(2),$(3)) -I. -o $$@ \
	    $(filter %.c,$(FILE)) \
	    $$(filter %.o,$$^) $$(filter %.a,$$^) $(if $(filter sched%,$(1)),,$(FUZZ_WRAP)) \
	    $(FUZZ_LDFLAGS_$(5))
endef

# $(1) flavour, $(2) compiler, $(3) geometry
minimize_free = $(foreach t,$(FUZZ_TARGETS),$(eval $(call \
    minimize_rules,$(1),$(2),$(3),$(call hak_out,$(1),$(2),$(3)),$(t),\
    $(FUZZ_PARTS_$(t)),$(call fuzz_allocator,$(call hak_out,$(1),$(2),$(3))))))
minimize_sched = $(foreach t,$(SCHED_TARGETS),$(eval $(call \
    minimize_rules,$(1),$(2),$(3),$(call hak_out,$(1),$(2),$(3)),$(t),\
    $(SCHED_PARTS),$(addprefix $(call hak_out,$(1),$(2),$(3))/,allocator.o libsched.a))))
$(foreach g,default small,$(call minimize_free,audit,$(CC),$(g)) \
    $(foreach f,fuzz fuzz-tsan,$(call minimize_free,$(f),$(CLANG),$(g))) \
    $(call minimize_sched,sched,$(CC),$(g)) \
    $(foreach f,sched-asan sched-fuzz sched-tsan,$(call minimize_sched,$(f),$(CLANG),$(g))))

.PHONY: minimize
minimize: ## shrink a failing input: operations, threads, preemptions, stale reads (FILE=)
	@scripts/minimize $(if $(FILE),'$(FILE)' $(TARGET))

# TARGET=, FLAVOUR= and GEOMETRY= as the file itself says.
.PHONY: emitted
emitted: $(if $(TARGET),$(call hak_out,$(FLAVOUR),$(if $(filter \
    audit sched,$(FLAVOUR)),$(CC),$(CLANG)),$(GEOMETRY))/emitted/$(TARGET))
	@echo $<

# The programs that it runs exist in these flavours; elsewhere it skips its tests.
$(call hak_test_needs,unit/test_minimize,$(FUZZ_LANGUAGE:.c=.o))
ifeq ($(TEST_FLAVOUR)|$(CC),audit|gcc)
$(foreach g,$(TEST_GEOMETRIES),$(eval $(call hak_out,audit,gcc,$(g))/tests/unit/test_minimize: | \
    $(call hak_out,audit,gcc,$(g))/minimize/fuzz_canary $(if $(filter small,$(g)),$(addprefix \
    $(call hak_out,sched,gcc,small)/,minimize/fuzz_sched replay/fuzz_sched))))
endif
$(call hak_test_needs,unit/test_shrink,fuzz/shrink.o $(FUZZ_LANGUAGE:.c=.o))

# ---- corruption ----

FUZZ_CORRUPTION := fuzz/corruption.c fuzz/verdict.c fuzz/trial.c
CORRUPT_OUTS := $(foreach f,release hardened audit,$(call hak_out,$(f),$(CC),$(GEOMETRY)))
# $(1) flavour, $(2) folder
define corrupt_rules
$(call hak_use,$(1),$(CC),$(GEOMETRY))
$(if $(filter audit,$(1)),,$(call fuzz_state_rules,$(1),$(2)))
$(2)/corrupt_table: $(call hak_objects,$(2),$(sort fuzz/corrupt_table.c fuzz/fuzz_corrupt.c \
    $(FUZZ_CORRUPTION) $(FUZZ_SINGLE))) $(call fuzz_allocator,$(2))
	$(call hak_say,link)$(call hak_link,$(1),$(CC),$(GEOMETRY)) $(FUZZ_WRAP) -o $$@ $$^
endef
$(foreach f,release hardened audit,$(eval $(call \
    corrupt_rules,$(f),$(call hak_out,$(f),$(CC),$(GEOMETRY)))))

# TRIALS= per field; DOC=docs/CORRUPTION.md writes the document anew.
.PHONY: corrupt
corrupt: $(CORRUPT_OUTS:=/corrupt_table) ## flip bits of every field: detected, harmless or silent
	@TRIALS=$(TRIALS) DOC=$(DOC) scripts/corrupt $^
$(call hak_test_needs,unit/test_corruption,$(filter-out fuzz/target.o,$(FUZZ_ORACLE:.c=.o)) \
    $(FUZZ_CORRUPTION:.c=.o))
LDFLAGS_test_corruption := $(FUZZ_WRAP)
