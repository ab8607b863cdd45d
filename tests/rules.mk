# tests/rules.mk: what single test programs are linked with besides what all are, and the tests with
# real programs.

# A limit on memory.
LDFLAGS_test_large := -Wl,--wrap=hak_os_commit -Wl,--wrap=hak_os_protect_none \
    -Wl,--wrap=hak_os_hide -Wl,--wrap=hak_os_stow -Wl,--wrap=hak_os_unstow
LDFLAGS_test_held := -Wl,--wrap=hak_os_commit -Wl,--wrap=hak_os_protect_none \
    -Wl,--wrap=hak_os_hide -Wl,--wrap=hak_os_resident -Wl,--wrap=hak_os_stow
LDFLAGS_test_held_again := -Wl,--wrap=hak_os_stow
LDFLAGS_test_held_stow := -Wl,--wrap=hak_os_commit -Wl,--wrap=hak_os_stow \
    -Wl,--wrap=hak_os_unstow -Wl,--wrap=hak_os_unstow_none -Wl,--wrap=madvise
LDFLAGS_test_audit := -Wl,--wrap=hak_os_reserve -Wl,--wrap=hak_os_commit
# ThreadSanitizer itself calls these before it is ready for a call that it watches.
LDFLAGS_test_thread := $(if $(filter tsan,$(TEST_FLAVOUR)),,-Wl,--wrap=pthread_key_create \
    -Wl,--wrap=pthread_atfork -Wl,--wrap=pthread_setspecific)
LDFLAGS_test_os_odd := -Wl,--wrap=syscall -Wl,--wrap=getrandom
LDFLAGS_test_prewarm := -Wl,--wrap=hak_os_commit
# A clock that stands still.
LDFLAGS_test_profile := -Wl,--wrap=hak_os_clock_ns -lm
LDFLAGS_test_profile_odd := -Wl,--wrap=hak_os_reserve -Wl,--wrap=hak_os_entropy -lm
LDFLAGS_test_intervals := -lm
# Random bytes that the system refuses.
LDFLAGS_test_sampled := -Wl,--wrap=hak_os_reserve -Wl,--wrap=hak_os_entropy \
    -Wl,--wrap=hak_os_commit -Wl,--wrap=hak_os_protect_none
LDFLAGS_test_random := -Wl,--wrap=hak_os_entropy
LDFLAGS_test_harden := -Wl,--wrap=hak_os_entropy

# Real programs under LD_PRELOAD. ONLY="git cpython:test_gc" chooses among the whole list.
REAL_TOOLS := $(call hak_out,release,$(CC),default)/tests/real
REAL_LIBRARIES := $(foreach f,$(if $(filter command environment,$(origin FLAVOUR)),$(filter \
    release audit hardened,$(FLAVOUR)),release audit hardened),$(call hak_so,$(f),$(CC),default))
$(REAL_TOOLS)/%.so: $(REAL_TOOLS)/%.o
	@$(call hak_link,release,$(CC),default) -shared -o $@ $^ -ldl

.PHONY: real real-short real-canary
real: $(REAL_TOOLS)/witness.so $(REAL_LIBRARIES) real-canary ## programs nobody here wrote
	@scripts/tally real -- tests/real/run $(if $(ONLY),--only '$(ONLY)') $(<D) \
	    $(or $(filter-out $<,$(filter %.so,$^)),$(error FLAVOUR: release, audit or hardened))
real-short: $(REAL_TOOLS)/witness.so $(TEST_LIBRARIES) ## what `make test` has of it
	@scripts/tally real -- tests/real/run --short $(<D) $(filter-out $<,$^)
real-canary: $(REAL_TOOLS)/witness.so $(REAL_TOOLS)/canary.so ## each way to fail must be seen
	@scripts/tally real-canary -- tests/real/run --self-test $(<D)
