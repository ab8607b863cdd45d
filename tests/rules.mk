# tests/rules.mk: what single test programs are linked with besides what all are (see Makefile).

# Random bytes that the system refuses.
LDFLAGS_test_random := -Wl,--wrap=hak_os_entropy
