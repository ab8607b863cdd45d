# stress/rules.mk: the stress loads, one program of all of them per instance.
#
#   make stress LOAD=larson THREADS=16 TIME=60 SEED=1 FLAVOUR=tsan ARGS="..."
# Without LOAD: all loads, one after the other, TIME seconds each.
# OUT/stress/stress is linked with the archive of hak_ names, so it works in every flavour; the
# flavour `peer` calls the standard names instead, for other allocators and for LD_PRELOAD.

FLAVOURS += peer
CFLAGS_peer := -O2 -DLOAD_PEER=1 -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc \
               -fno-builtin-free -fno-builtin-aligned_alloc -Wno-deprecated-declarations
CHECKED_peer := 0

STRESS_LOADS := larson xfree threads fork realloc align huge oom frag reuse purge calls soak
STRESS_PARTS := load watch block swap functions $(STRESS_LOADS)
# The functions of src/seam/os.h that may fail: stress/inject.c stands in front of them.
STRESS_WRAPPED := reserve commit decommit release move extend protect_none hide stow \
    unstow unstow_none
stress_objects = $(patsubst %,$(2)/stress/%.o,$(STRESS_PARTS) \
    functions_$(if $(filter peer,$(1)),standard,prefixed))

stress_allocator = $(if $(filter peer,$(1)),,$(2)/stress/inject.o $(2)/libhakmem-prefixed.a)
stress_wrap = $(if $(filter peer,$(1)),,$(STRESS_WRAPPED:%=-Wl,--wrap=hak_os_%))
canary_wrap = $(foreach f,malloc calloc realloc free,-Wl,--wrap=hak_$(f))
stress_link = $(call hak_link,$(1),$(2),default)

# $(1) flavour, $(2) compiler, $(3) folder
define stress_rules
$(3)/stress/stress: $(call stress_objects,$(1),$(3)) $(call stress_allocator,$(1),$(3)) \
    | $(3)/stress/stress_calls.so
	$(call hak_say,link)$(stress_link) -rdynamic $(stress_wrap) -o $$@ $$^ -lm -ldl
$(3)/stress/canary: $(call stress_objects,$(1),$(3)) $(3)/stress/canary.o \
    $(call stress_allocator,$(1),$(3))
	$(call hak_say,link)$(stress_link) $(stress_wrap) $(canary_wrap) -o $$@ $$^ -lm -ldl
$(3)/stress/stress_calls.so: $(3)/stress/calls_library.o
	$(call hak_say,link)$(stress_link) -shared -o $$@ $$^
endef

.PHONY: stress stress-build stress-preload stress-canary
export LOAD THREADS TIME SEED ARGS CSV FAULTS
STRESS_PROGRAM = $(OUT)/stress/stress
stress: $(OUT)/stress/stress ## stress loads (LOAD= THREADS= TIME= SEED= FLAVOUR= ARGS=)
	@scripts/tally stress -- scripts/stress run $(OUT)/stress/stress
stress-build: $(OUT)/stress/stress ## only build the stress loads of FLAVOUR
# The loads that call the standard names, with the shared libraries under them.
PRELOADED := $(foreach f,release audit hardened,$(call hak_so,$(f),$(CC),default))
STRESS_PEER := $(call hak_out,peer,$(CC),default)/stress/stress
stress-preload: $(STRESS_PEER) $(PRELOADED) ## LOAD=calls on the shared libraries, preloaded
	@scripts/tally stress-preload -- $(SHELL) -c 'status=0; \
	    for so in $(abspath $(PRELOADED)); do \
	    PRELOAD=$$so LOAD="$(or $(LOAD),calls)" scripts/stress run $< || status=1; \
	    done; exit $$status'
stress-canary: $(OUT)/stress/canary ## the loads must find an allocator that is wrong on purpose
	@scripts/tally canary -- scripts/stress canary $(OUT)/stress/canary

$(foreach f,$(sort $(FLAVOUR) release peer),$(call hak_use,$(f),$(CC),$(if \
    $(filter $(f),$(FLAVOUR)),$(GEOMETRY),default)))
$(eval $(call stress_rules,$(FLAVOUR),$(CC),$(OUT)))
$(if $(filter peer,$(FLAVOUR)),,$(eval $(call \
    stress_rules,peer,$(CC),$(call hak_out,peer,$(CC),default))))
