# bench/mitigations.mk: the hardened flavour beside release, and what each mitigation costs.
# mitigations-cost writes its table into SECURITY.md.
#   SECONDS=1   also time and size of whole programs and traces: on a machine that does nothing else

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

.PHONY: mitigations-cost
mitigations-cost: $(BENCH_PROGRAMS) $(call hak_so,release,$(CC),default) \
    $(foreach l,$(COST_LIBRARIES),$(lastword $(subst =, ,$(l)))) ## each alone (SECONDS=1: time too)
	bench/mitigations --base=release=$(call hak_so,release,$(CC),default) \
	    $(COST_LIBRARIES:%=--library=%) --programs=$(BENCH_OUT) --write \
	    $(if $(SECONDS),--seconds)
