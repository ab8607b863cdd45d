# report/rules.mk: the page, and which lines of src/ the corpora reach.
#
# Flavours cover and sched-cover: clang's coverage by source. Its counters lie in sections of their
# own, so the scheduler does not reset them with the allocator's variables.

FLAVOURS += cover
CFLAGS_cover := -O1 -fprofile-instr-generate -fcoverage-mapping
CFLAGS_sched-cover := $(CFLAGS_cover)
SCHED_FLAVOURS += sched-cover
FLAVOURS += sched-cover
INCLUDES_sched-cover := -Ifuzz/sched -Isrc
SOURCES_sched-cover := $(filter-out src/seam/%,$(SOURCES))
$(call fuzz_use,cover,$(CLANG),small)
$(call sched_use,sched-cover,$(CLANG),sched-cover)

COVER_TARGETS := $(filter-out fuzz_canary,$(FUZZ_TARGETS))
COVER_PROGRAMS := $(COVER_TARGETS:%=$(call hak_out,cover,$(CLANG),small)/replay/%) \
    $(SCHED_TARGETS:%=$(call hak_out,sched-cover,$(CLANG),small)/replay/%)

.PHONY: report corpus-coverage
report: ## the page of all hunts and campaigns: build/report/index.html
	@report/generate
corpus-coverage: $(COVER_PROGRAMS) $(BUILD)/ops ## lines of src/ that the corpora reach, for report
	@report/cover $(COVER_PROGRAMS)
