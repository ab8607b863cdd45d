# tests/misuse/rules.mk: the wrong programs, and a library for each mitigation alone.

MISUSE_OUT := $(BUILD)/misuse-$(notdir $(CC))
MISUSE_PROGRAMS := $(patsubst tests/misuse/%,$(MISUSE_OUT)/%,$(basename \
    $(wildcard tests/misuse/*.c tests/misuse/*.cc)))
# Without optimisation: the mistake must reach the allocator.
MISUSE_CFLAGS := -O0 -g -w -fno-builtin -pthread -Isrc

$(MISUSE_OUT)/%: tests/misuse/%.c tests/misuse/misuse.h src/hakmem.h tests/misuse/rules.mk
	@mkdir -p $(@D)
	@$(CC) $(MISUSE_CFLAGS) -o $@ $<
$(MISUSE_OUT)/%: tests/misuse/%.cc tests/misuse/misuse.h src/hakmem.h tests/misuse/rules.mk
	@mkdir -p $(@D)
	@$(call cxx_of,$(CC)) $(MISUSE_CFLAGS) -o $@ $<

# Flavour mitigation-N: the hardened one with bit N of src/config.h alone.
MITIGATION_BITS := $(shell sed -n \
    's/^\#define MITIGATE_[A-Z]* ((HAK_MITIGATIONS & \([0-9]*\)) != 0).*/\1/p' src/config.h)
# Flavour without-N: without that bit alone. $(1) flavour, $(2) bits
define mitigation_flavour
FLAVOURS += $(1)
CFLAGS_$(1) := $(CFLAGS_hardened)
CHECKED_$(1) := 0
MITIGATIONS_$(1) := $(2)
endef
$(foreach b,$(MITIGATION_BITS),$(eval $(call mitigation_flavour,mitigation-$(b),$(b))) \
    $(eval $(call mitigation_flavour,without-$(b),$(shell \
        echo $$(($(MITIGATIONS_hardened) - $(b)))))) \
    $(call hak_use,mitigation-$(b),$(CC),default)$(call hak_use,without-$(b),$(CC),default))
mitigation_libraries = $(foreach b,$(MITIGATION_BITS),$(call hak_so,$(1)-$(b),$(CC),default))
MITIGATION_LIBRARIES := $(call mitigation_libraries,mitigation)

MISUSE_LIBRARIES := $(TEST_LIBRARIES) \
    $(if $(filter hardened,$(TEST_FLAVOUR)),$(MITIGATION_LIBRARIES))
.PHONY: misuse
misuse: $(MISUSE_PROGRAMS) $(MISUSE_LIBRARIES) ## wrong programs: each must end as it should
	@scripts/tally misuse -- tests/misuse/run $(MISUSE_OUT) $(MISUSE_LIBRARIES)

# The peers are those of the benchmarks; RUNS=10 is how often each program runs in each tier.
MISUSE_MEASURED := $(foreach f,release hardened,$(call hak_so,$(f),$(CC),default)) \
    $(MITIGATION_LIBRARIES)
.PHONY: misuse-table misuse-without
misuse-without: $(MISUSE_PROGRAMS) $(call mitigation_libraries,without) ## each bit is needed
	@scripts/tally misuse-without -- tests/misuse/run $(MISUSE_OUT) \
	    $(call mitigation_libraries,without)
misuse-table: $(MISUSE_PROGRAMS) $(MISUSE_MEASURED) ## measure what is stopped, into SECURITY.md
	tests/misuse/table --runs=$(or $(RUNS),10) $(PEERS:%=--peer=%) $(MISUSE_OUT) \
	    $(MISUSE_MEASURED)
