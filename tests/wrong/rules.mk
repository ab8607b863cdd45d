# tests/wrong/rules.mk: wrong programs of users under the tools that report them.
#
# Included by Makefile. The archives for users are of these flavours, whatever FLAVOUR is.

WRONG_ASAN := $(call hak_out,asan-user,$(CC),default)/libhakmem-asan-user.a
WRONG_VALGRIND := $(call hak_out,valgrind,$(CC),default)/libhakmem-valgrind.a
WRONG_MSAN := $(call hak_out,msan,$(CLANG),default)/libhakmem-prefixed.a
$(call hak_use,asan-user,$(CC),default)
$(call hak_use,valgrind,$(CC),default)
$(call hak_use,msan,$(CLANG),default)

.PHONY: wrong wrong-asan wrong-valgrind wrong-msan
wrong: $(WRONG_ASAN) $(WRONG_VALGRIND) $(WRONG_MSAN) ## wrong programs under ASan, Valgrind, MSan
	@+scripts/tally wrong -- $(SHELL) -c 'status=0; for tool in asan valgrind msan; do \
	    $(MAKE) wrong-$$tool || status=1; done; exit $$status'
wrong-asan: $(WRONG_ASAN) ## wrong programs, built with AddressSanitizer
	@CC=$(CC) scripts/tally wrong-asan -- tests/wrong/run asan $<
wrong-valgrind: $(WRONG_VALGRIND) ## wrong programs under Valgrind
	@CC=$(CC) scripts/tally wrong-valgrind -- tests/wrong/run valgrind $<
wrong-msan: $(WRONG_MSAN) ## wrong programs, built with MemorySanitizer
	@CC=$(CLANG) scripts/tally wrong-msan -- tests/wrong/run msan $<
