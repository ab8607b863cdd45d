# tests/coverage/rules.mk: which lines and branches of src/ the tests and the corpora reach.
#
# Flavours cover, cover-hardened (all mitigations), cover-user (the asan-user flavour) and
# sched-cover: clang's coverage by source, without assertions, which must not fail. The counters lie
# in the mapped file of the profile, one for all processes of a build: what a program did before it
# aborted counts, and what the child of a fork did.

COVERAGE := $(BUILD)/coverage
COVER_FLAVOURS := cover cover-hardened cover-user
CFLAGS_cover := -O1 -fprofile-instr-generate=$(CURDIR)/$(COVERAGE)/tests/%m%c.profraw \
    -fcoverage-mapping -mllvm -runtime-counter-relocation=true \
    -Wno-unused-command-line-argument
CFLAGS_cover-hardened := $(CFLAGS_cover)
CFLAGS_cover-user := $(CFLAGS_cover) $(CFLAGS_asan-user)
CFLAGS_sched-cover := $(CFLAGS_cover)
$(foreach f,$(COVER_FLAVOURS) sched-cover,$(eval CHECKED_$(f) := 0))
MITIGATIONS_cover-hardened := $(MITIGATIONS_hardened)
SOURCES_cover-user := $(SOURCES_asan-user)
SCHED_FLAVOURS += sched-cover
FLAVOURS += $(COVER_FLAVOURS) sched-cover
INCLUDES_sched-cover := -Ifuzz/sched -Isrc
SOURCES_sched-cover := $(filter-out src/seam/%,$(SOURCES))
$(foreach g,default small,$(call fuzz_use,cover,$(CLANG),$(g))\
    $(call hak_use,cover-hardened,$(CLANG),$(g)))
$(call hak_use,cover-user,$(CLANG),default)
$(call sched_use,sched-cover,$(CLANG),sched-cover)

COVER_TARGETS := $(filter-out fuzz_canary,$(FUZZ_TARGETS))
COVER_PROGRAMS := $(COVER_TARGETS:%=$(call hak_out,cover,$(CLANG),small)/replay/%) \
    $(SCHED_TARGETS:%=$(call hak_out,sched-cover,$(CLANG),small)/replay/%)
COVER_PROTOCOL := $(call hak_out,sched-cover,$(CLANG),small)/tests/model/protocol
COVER_USER := $(call hak_out,cover-user,$(CLANG),default)/libhakmem-cover-user.a
# Each build with all of its functions, also those that no test is linked with.
COVER_ARCHIVES := $(foreach f,cover cover-hardened,$(foreach g,default small,\
    $(call hak_out,$(f),$(CLANG),$(g))/libhakmem-$(f).a)) $(COVER_USER) \
    $(call hak_out,sched-cover,$(CLANG),small)/libhakmem-prefixed.a

# The suites run for what they reach; whether they pass is asked elsewhere, of other flavours.
.PHONY: coverage test-coverage corpus-coverage
coverage: test-coverage corpus-coverage ## lines, branches of src/ that tests and corpora reach
	@scripts/tally coverage -- scripts/coverage check
test-coverage: $(COVER_ARCHIVES) $(COVER_PROTOCOL) ## of the tests alone
	@rm -rf $(COVERAGE)/tests
	@export HAK_TEST_SECONDS=600; for flavour in cover cover-hardened; do \
	    scripts/tally $$flavour -- $(MAKE) -k FLAVOUR=$$flavour CC=$(CLANG) unit api misuse; \
	    done; \
	    CC=$(CLANG) LDFLAGS="$(filter -fprofile%,$(CFLAGS_cover))" scripts/tally cover-user -- \
	    tests/wrong/run asan $(COVER_USER); $(COVER_PROTOCOL) sample; true
	@scripts/coverage collect tests $(sort $(dir $(COVER_ARCHIVES)))
corpus-coverage: $(COVER_PROGRAMS) $(COVER_ARCHIVES) $(BUILD)/ops ## of the corpora alone
	@status=0; report/cover $(COVER_PROGRAMS) || status=1; \
	    scripts/coverage collect corpora $(sort $(dir $(COVER_ARCHIVES))) && exit $$status
