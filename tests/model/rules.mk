# tests/model/rules.mk: the model with mitigations: the state of blocks and the quarantine; and
# what statistics count of contention.

FLAVOURS += sched-hardened
CFLAGS_sched-hardened := $(CFLAGS_sched)
INCLUDES_sched-hardened := $(INCLUDES_sched)
SOURCES_sched-hardened := $(SOURCES_sched)
MITIGATIONS_sched-hardened := 17
RACING_OUT := $(call hak_out,sched-hardened,$(CC),small)
$(eval $(call sched_rules,sched-hardened,$(CC),small,$(RACING_OUT)))
$(RACING_OUT)/tests/model/racing: $(RACING_OUT)/allocator.o

COUNTING_OUT := $(call hak_out,sched,$(CC),small)
$(COUNTING_OUT)/tests/model/counting: $(COUNTING_OUT)/tests/model/scenarios_lock.o \
    $(COUNTING_OUT)/tests/model/lock.o $(COUNTING_OUT)/allocator.o

.PHONY: racing counting
racing: $(RACING_OUT)/tests/model/racing ## two racing frees of a block, hardened: every execution
	@$(UNDER) $<
counting: $(COUNTING_OUT)/tests/model/counting ## counts of contention against every execution
	@$(UNDER) $<
# CI runs them with the planted bugs.
planted: racing counting
