# fuzz/oss-fuzz/rules.mk: the targets for clusters, with the flags that build.sh was given.
#
# BUILD/programs/TARGET is linked with the cluster's C++ compiler and engine. Without OSS_ENGINE
# nothing of this is defined.

ifneq ($(OSS_ENGINE),)
FLAVOURS += oss
# Other compilers than ours warn of other things.
CFLAGS_oss := -fno-omit-frame-pointer $(OSS_CFLAGS) -Wno-error
CFLAGS_sched-oss := $(CFLAGS_oss) $(if $(findstring address,$(OSS_CFLAGS)),\
    -fsanitize-address-use-after-return=never -fno-sanitize-address-globals-dead-stripping)
# The parts of the scheduler that tell the sanitizer of stacks: with it, without coverage.
CFLAGS_sched-oss-told := $(filter-out -fsanitize=fuzzer% -fsanitize-coverage=%,$(CFLAGS_sched-oss))
SCHED_TOLD_AS_sched-oss := sched-oss-told
FLAVOURS += sched-oss
INCLUDES_sched-oss := -Ifuzz/sched -Isrc
INCLUDES_sched-oss-told := $(INCLUDES_sched-oss)
SOURCES_sched-oss := $(filter-out src/seam/%,$(SOURCES))

# Targets that have no small geometry in fuzz/registry.
OSS_DEFAULT := fuzz_options fuzz_ops fuzz_recording
OSS_FREE := $(filter-out fuzz_canary fuzz_threads,$(FUZZ_TARGETS))
OSS_PROGRAMS := $(addprefix $(BUILD)/programs/,$(or $(OSS_TARGETS),$(OSS_FREE) $(SCHED_TARGETS)))
oss_geometry = $(if $(filter $(1),$(OSS_DEFAULT)),default,small)
oss_link = $(OSS_CXX) -pthread -g $(OSS_CXXFLAGS) $(OSS_ENGINE)

# $(1) target, $(2) folder of the objects, $(3) its sources, $(4) archives and flags
define oss_rules
$(BUILD)/programs/$(1): $(call hak_objects,$(2),fuzz/$(1).c $(3)) $(4)
	@mkdir -p $$(@D)
	$(call hak_say,link)$(oss_link) -o $$@ $$^ $(5)
endef
oss_mutator = $(if $(filter $(1),$(FUZZ_MUTATED) $(SCHED_TARGETS)),\
    fuzz/mutator.c fuzz/mutator_libfuzzer.c)

$(foreach g,default small,$(call hak_use,oss,$(CC),$(g)))
oss_out = $(call hak_out,oss,$(CC),$(call oss_geometry,$(1)))
$(foreach t,$(OSS_FREE),$(eval $(call oss_rules,$(t),$(call oss_out,$(t)),\
    $(FUZZ_PARTS_$(t)) $(call oss_mutator,$(t)),$(call oss_out,$(t))/libhakmem-prefixed.a,\
    $(FUZZ_WRAP) $(FUZZ_LDFLAGS_$(t)))))
$(eval $(call sched_rules,sched-oss,$(CC),small,$(call hak_out,sched-oss,$(CC),small)))
$(foreach t,$(SCHED_TARGETS),$(eval $(call oss_rules,$(t),$(call \
    hak_out,sched-oss,$(CC),small),$(SCHED_PARTS) $(call oss_mutator,$(t)),$(addprefix $(call \
    hak_out,sched-oss,$(CC),small)/,allocator.o libsched.a))))

.PHONY: oss-fuzz
oss-fuzz: $(OSS_PROGRAMS) $(BUILD)/ops
endif
