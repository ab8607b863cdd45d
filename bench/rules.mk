# bench/rules.mk: benchmark programs and what runs them.
#   SUBJECT=[NAME=]path.so   what is judged: the library of FLAVOUR
#   PEERS="path.so ..."      peers beside those of the system, each [NAME=]path.so
#   WRITE=1                  the tables of bench go into README.md and docs/PERFORMANCE.md
#   ROWS=text                only rows whose name contains the text
#   BENCH_FLAGS=             further options of bench/run, --help lists them

BENCH_OUT := $(BUILD)/bench
BENCH_PROGRAMS := $(patsubst %,$(BENCH_OUT)/%,mixed batch larson transfer sweep growth threads \
    peak launch step latency)
SUBJECT ?= hakmem=$(OUT)/$(LIBRARY).so
# Pairs of malloc and free must stay, whatever the compiler can prove about them.
BENCH_CFLAGS := -O2 -g -std=gnu11 -pthread -fno-builtin-malloc -fno-builtin-free \
    -fno-builtin-realloc -Wall -Wextra -Wundef -Wshadow -Wconversion -Werror

$(BENCH_OUT)/%: bench/%.c bench/bench.c bench/bench.h bench/rules.mk
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -o $@ $< bench/bench.c -ldl -Wl,-z,now

BENCH_PROGRAMS += $(BENCH_OUT)/hakmem-trace
$(BENCH_OUT)/hakmem-trace: $(BUILD)/hakmem-trace
	@mkdir -p $(@D)
	ln -sf ../hakmem-trace $@

# A library named by hand is not made here.
BENCH_LIBRARY := $(filter $(OUT)/$(LIBRARY).so,$(lastword $(subst =, ,$(SUBJECT))))
bench_run = bench/run --subject=$(SUBJECT) --programs=$(BENCH_OUT) $(PEERS:%=--peer=%) \
    $(if $(ROWS),--rows='$(ROWS)') $(if $(WRITE),--write) $(BENCH_FLAGS)

.PHONY: bench bench-full
bench: $(BENCH_PROGRAMS) $(BENCH_LIBRARY) ## time and memory against installed peers, 5 minutes
	+$(bench_run) --budget=240 --out=$(BENCH_OUT)/short
bench-full: $(BENCH_PROGRAMS) $(BENCH_LIBRARY) ## the same with all rows and more rounds
	+$(bench_run) --full --rounds=9 --rounds-min=5 --out=$(BENCH_OUT)/full

.PHONY: instructions fastpath profile-cost scaling history latency
latency: $(BENCH_PROGRAMS) $(BENCH_LIBRARY) ## of single calls, prewarmed and not (ROUNDS= WRITE=1)
	bench/latency --subject=$(SUBJECT) --programs=$(BENCH_OUT) $(PEERS:%=--peer=%) \
	    $(ROUNDS:%=--rounds=%) $(if $(WRITE),--write) $(LATENCY_FLAGS)
instructions: $(BENCH_PROGRAMS) $(BENCH_LIBRARY) ## allocator instructions per operation (valgrind)
	bench/instructions --subject=$(SUBJECT) --programs=$(BENCH_OUT) $(PEERS:%=--peer=%)
fastpath: $(BENCH_OUT)/step $(BENCH_LIBRARY) ## count the hit paths, compare with the golden file
	bench/fastpath --self-test --step=$(BENCH_OUT)/step --golden=bench/fastpath.golden \
	    --library=$(lastword $(subst =, ,$(SUBJECT))) $(FASTPATH_FLAGS)
profile-cost: $(BENCH_PROGRAMS) $(BENCH_LIBRARY) ## of whole programs (ROUNDS= ONLY= WRITE=1)
	bench/profile --library=$(SUBJECT) --programs=$(BENCH_OUT) $(ROUNDS:%=--rounds=%) \
	    $(if $(ONLY),--only='$(ONLY)') $(if $(WRITE),--write)
scaling: $(BENCH_PROGRAMS) $(BENCH_LIBRARY) ## cost per operation with ten times as much in use
	bench/scaling --subject=$(SUBJECT) --programs=$(BENCH_OUT) $(PEERS:%=--peer=%)
history: $(BENCH_PROGRAMS) $(BENCH_LIBRARY) ## the figures of 2025 beside this machine's
	bench/history.py --subject=$(SUBJECT) --programs=$(BENCH_OUT) $(ROUNDS:%=--rounds=%)
