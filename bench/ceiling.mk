# bench/ceiling.mk: builds that leave out what the allocator does for safety and memory, to measure
# what that costs: `make ceiling`. They are for nothing else, and `make install` refuses them.
#
#   flavour ceiling-N   release without bit N of HAK_CEILING (src/config.h); ceiling: without all
#   ROUNDS=15           of each program
#   WRITE=1             the tables go into docs/PERFORMANCE.md: on a machine that does nothing else

ifneq ($(and $(filter ceiling%,$(FLAVOUR)),$(filter install%,$(MAKECMDGOALS))),)
$(error FLAVOUR=$(FLAVOUR): a ceiling is never installed)
endif

# name=bit, such as checks=1
CEILING_PARTS := $(shell sed -n \
    's/^\#define WITHOUT_\([A-Z_]*\) ((HAK_CEILING & \([0-9]*\)) != 0).*/\1=\2/p' src/config.h | \
    tr A-Z_ a-z-)
CEILING_ALL := $(shell sed -n 's/^\#define CEILING_ALL \([0-9]*\)$$/\1/p' src/config.h)

# $(1) flavour, $(2) bits
define ceiling_flavour
FLAVOURS += $(1)
CFLAGS_$(1) := $(CFLAGS_release)
CHECKED_$(1) := 0
CEILING_$(1) := $(2)
endef
ceiling_bit = $(lastword $(subst =, ,$(1)))
$(foreach p,$(CEILING_PARTS),$(eval $(call \
    ceiling_flavour,ceiling-$(call ceiling_bit,$(p)),$(call ceiling_bit,$(p)))))
$(eval $(call ceiling_flavour,ceiling,$(CEILING_ALL)))
CEILING_FLAVOURS := $(foreach p,$(CEILING_PARTS),ceiling-$(call ceiling_bit,$(p))) ceiling
$(foreach f,$(CEILING_FLAVOURS),$(call hak_use,$(f),$(CC),default))

CEILING_RELEASE := $(call hak_so,release,$(CC),default)
CEILING_LIBRARIES := $(foreach p,$(CEILING_PARTS),$(firstword $(subst =, ,$(p)))=$(call \
    hak_so,ceiling-$(call ceiling_bit,$(p)),$(CC),default)) all=$(call hak_so,ceiling,$(CC),default)

CEILING_SOS := $(foreach l,$(CEILING_LIBRARIES),$(lastword $(subst =, ,$(l))))

.PHONY: ceiling
ceiling: $(BENCH_PROGRAMS) $(CEILING_RELEASE) $(CEILING_SOS) ## what safety and purging cost
	bench/ceiling --base=release=$(CEILING_RELEASE) $(CEILING_LIBRARIES:%=--library=%) \
	    --programs=$(BENCH_OUT) $(ROUNDS:%=--rounds=%) $(if $(WRITE),--write)
