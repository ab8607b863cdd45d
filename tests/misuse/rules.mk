# tests/misuse/rules.mk: the wrong programs, and a library for each mitigation alone.

MISUSE_OUT := $(BUILD)/misuse-$(notdir $(CC))
MISUSE_PROGRAMS := $(patsubst tests/misuse/%,$(MISUSE_OUT)/%,$(basename \
    $(wildcard tests/misuse/*.c tests/misuse/*.cc)))
# Without optimisation: the mistake must reach the allocator.
MISUSE_CFLAGS := -O0 -g -w -fno-builtin -pthread -Isrc

$(MISUSE_OUT)/%: tests/misuse/%.c tests/misuse/misuse.h tests/misuse/rules.mk
	@mkdir -p $(@D)
	@$(CC) $(MISUSE_CFLAGS) -o $@ $<
$(MISUSE_OUT)/%: tests/misuse/%.cc tests/misuse/misuse.h tests/misuse/rules.mk
	@mkdir -p $(@D)
	@$(call cxx_of,$(CC)) $(MISUSE_CFLAGS) -o $@ $<

# Flavour mitigation-N: the hardened one with bit N of src/config.h alone.
MITIGATION_BITS := $(shell sed -n \
    's/^\#define MITIGATE_[A-Z]* ((HAK_MITIGATIONS & \([0-9]*\)) != 0).*/\1/p' src/config.h)
define mitigation_flavour
FLAVOURS += mitigation-$(1)
CFLAGS_mitigation-$(1) := $(CFLAGS_hardened)
CHECKED_mitigation-$(1) := 0
MITIGATIONS_mitigation-$(1) := $(1)
endef
$(foreach b,$(MITIGATION_BITS),$(eval $(call mitigation_flavour,$(b))) \
    $(call hak_use,mitigation-$(b),$(CC),default))
MITIGATION_LIBRARIES := $(foreach b,$(MITIGATION_BITS),$(call hak_so,mitigation-$(b),$(CC),default))

MISUSE_LIBRARIES := $(TEST_LIBRARIES) \
    $(if $(filter hardened,$(TEST_FLAVOUR)),$(MITIGATION_LIBRARIES))
.PHONY: misuse
misuse: $(MISUSE_PROGRAMS) $(MISUSE_LIBRARIES) ## wrong programs: each must end as it should
	@scripts/tally misuse -- tests/misuse/run $(MISUSE_OUT) $(MISUSE_LIBRARIES)
