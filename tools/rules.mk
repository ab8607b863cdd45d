# tools/rules.mk: tools for users of the libraries. They are in Python; what they start is built.

.PHONY: tools tools-check
tools: trace $(BUILD)/hakmem-launch lib ## what hakmem-tune and hakmem-trace-plot start
tools-check: tools $(BENCH_PROGRAMS) ## the tuner, the pictures, on simulated and real programs
	@BUILD=$(BUILD) scripts/tally tools -- tests/tools/run $(abspath $(OUT)/$(LIBRARY).so)

# Starts a program with a library preloaded and measures it: the benchmarks' own.
$(BUILD)/hakmem-launch: bench/launch.c bench/bench.c bench/bench.h
	@mkdir -p $(@D)
	$(call trace_say,link,$@)$(CC) $(BENCH_CFLAGS) -o $@ bench/launch.c bench/bench.c -ldl
