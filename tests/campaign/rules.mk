# tests/campaign/rules.mk: the campaign and its tests; included by the top Makefile.

# Built before the tests run beside each other: two makes must not link the same file at once.
CAMPAIGN_PROGRAMS := $(foreach g,default small,$(call hak_out,sched,$(CC),$(g))/walk/fuzz_exit \
    $(addprefix $(call hak_out,sched-fuzz,$(CLANG),$(g))/,hunt/fuzz_exit replay/fuzz_exit)) \
    $(call hak_out,sched-fuzz,$(CLANG),small)/minimize/fuzz_exit \
    $(foreach f,afl afl-plain,$(call hak_out,$(f),$(AFL_CC),default)/hunt/fuzz_options) \
    $(BUILD)/afl-mutator.so $(BUILD)/ops

.PHONY: overnight campaign-test
export HOURS ARMS SLICE MEMORY_MB DISK_MB RESERVE_MB PATIENCE FINDINGS
overnight: ## hunt for HOURS=8 with JOBS=2, goes on after a kill (docs/CAMPAIGN.md)
	+scripts/overnight
campaign-test: $(CAMPAIGN_PROGRAMS) ## the campaign, killed and on a full disk; its report; clusters
	+@scripts/tally campaign -- tests/campaign/run
