# bench/mitigations.mk: the hardened flavour beside release, and what each mitigation costs.
# These write their tables into SECURITY.md: mitigations-cost of instructions, and of whole programs
# and traces; mitigations-whole of the latter alone.
#   ROUNDS=7    runs of each program
#   SECONDS=1   time and size of the traces for each mitigation too

ifeq ($(FLAVOUR),hardened)
PEERS += release=$(call hak_so,release,$(CC),default)
bench bench-full: $(call hak_so,release,$(CC),default)
endif

# State, pointers, random order, guards, read-only data: what is to cost next to nothing.
MITIGATIONS_CHEAP := 227
$(eval $(call mitigation_flavour,mitigation-$(MITIGATIONS_CHEAP),$(MITIGATIONS_CHEAP))) \
    $(call hak_use,mitigation-$(MITIGATIONS_CHEAP),$(CC),default)
COST_LIBRARIES := $(foreach b,$(MITIGATION_BITS) $(MITIGATIONS_CHEAP),$(b)=$(call \
    hak_so,mitigation-$(b),$(CC),default)) all=$(call hak_so,hardened,$(CC),default)

COST_WHOLE := hardened=$(call hak_so,hardened,$(CC),default) \
    bits-$(MITIGATIONS_CHEAP)=$(call hak_so,mitigation-$(MITIGATIONS_CHEAP),$(CC),default)
COST_NEEDS := $(call hak_so,release,$(CC),default) \
    $(foreach l,$(COST_WHOLE),$(lastword $(subst =, ,$(l))))
cost_run = bench/mitigations --base=release=$(call hak_so,release,$(CC),default) \
    $(COST_WHOLE:%=--whole=%) --programs=$(BENCH_OUT) --write $(ROUNDS:%=--rounds=%)

.PHONY: mitigations-cost mitigations-whole
mitigations-cost: $(BENCH_PROGRAMS) $(call hak_so,release,$(CC),default) \
    $(foreach l,$(COST_LIBRARIES),$(lastword $(subst =, ,$(l)))) ## each alone, and whole programs
	$(cost_run) $(COST_LIBRARIES:%=--library=%) $(if $(SECONDS),--seconds)
mitigations-whole: $(BENCH_PROGRAMS) $(COST_NEEDS) ## whole programs and traces alone
	$(cost_run)
