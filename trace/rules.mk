# trace/: the recorder (a library to preload) and hakmem-trace.
#
# Both lie directly in $(BUILD), made by $(CC) without sanitizers: the recorder is preloaded into
# any program, and a replay measures the allocator that is preloaded into it.

TRACE_FLAGS := -std=gnu11 $(WARNINGS) -O2 -g -fPIC -fvisibility=hidden -pthread
# An exception of operator new passes through the recorder, and what it defines is no builtin there.
RECORDER_FLAGS := $(TRACE_FLAGS) -fexceptions $(ALLOCATED:%=-fno-builtin-%)
RECORDER_SOURCES := $(addprefix trace/,interpose.c interpose_cxx.c recorder.c)
# What reads, edits and replays traces: everything but the command itself. For tests and fuzz
# targets: add $(call trace_objects,OUT) to what they link.
TRACE_SOURCES := $(addprefix trace/,blocks.c edit.c info.c recording.c replay.c replay_block.c \
    replay_plan.c slot_map.c trace_file.c) $(addprefix fuzz/,ops.c ops_decode.c ops_text.c)
trace_say = $(if $(V),,@echo '  $(1) $(2)' && )
trace_objects = $(call hak_objects,$(1),$(TRACE_SOURCES))

TRACE_OUT := $(BUILD)/trace-$(notdir $(CC))

.PHONY: trace seeds traces
trace: $(BUILD)/libhakmem-record.so $(BUILD)/hakmem-trace ## recorder of real programs; its tool
seeds: trace ## record real programs anew and trim them into corpus/trace/seed
	BUILD=$(BUILD) scripts/record
traces: trace ## record real programs in full into $(BUILD)/traces, for benchmarks
	BUILD=$(BUILD) scripts/record --bench

$(TRACE_OUT)/record/%.o: %.c trace/rules.mk
	@mkdir -p $(@D)
	$(call trace_say,compile,$@)$(CC) $(RECORDER_FLAGS) -MMD -MP -c -o $@ $<

$(TRACE_OUT)/%.o: %.c trace/rules.mk
	@mkdir -p $(@D)
	$(call trace_say,compile,$@)$(CC) $(TRACE_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libhakmem-record.so: $(RECORDER_SOURCES:%.c=$(TRACE_OUT)/record/%.o)
	$(call trace_say,link,$@)$(CC) -shared -Wl,-z,now -Wl,-z,relro -Wl,-z,defs -o $@ $^ \
	    -pthread -ldl

$(BUILD)/hakmem-trace: $(TRACE_OUT)/trace/hakmem_trace.o \
    $(TRACE_OUT)/trace/replay_process.o $(call trace_objects,$(TRACE_OUT))
	$(call trace_say,link,$@)$(CC) -o $@ $^ -pthread -ldl

-include $(shell find $(TRACE_OUT) -name '*.d' 2>/dev/null)

# The unit tests of traces record and replay too. OUT is the folder of an instance.
TRACE_TESTS := $(foreach g,$(TEST_GEOMETRIES),$(addprefix $(call \
    hak_out,$(TEST_FLAVOUR),$(CC),$(g))/tests/unit/,$(notdir $(basename \
    $(wildcard tests/unit/test_trace*.c)))))
$(foreach t,$(TRACE_TESTS),$(eval $(t): $(call trace_objects,$(firstword $(subst \
    /tests/unit/, ,$(t))))))
$(TRACE_TESTS): | $(BUILD)/libhakmem-record.so $(BUILD)/hakmem-trace
