# hakmem: `make` alone lists the targets.
#
# Variables of every build (command line or environment):
#   BUILD=build        where everything that is made goes
#   FLAVOUR=release    release hardened audit asan tsan msan valgrind analyzer fuzz, and
#                      what rules.mk add
#   MITIGATIONS_hardened=2047  which mitigations that flavour has: bits of src/config.h
#   CC=gcc             gcc, clang, clang-14, clang-19, ...; the C++ compiler follows from it
#   GEOMETRY=default   default or small: see src/config.h
#   LTO=1              link-time optimisation of release builds
#   EXTRA_CFLAGS=      added to every compilation
#   V=1                show the commands
#   TESTS="heap lock"  only the unit and API tests test_heap, test_lock, so_heap, so_lock
#
# One combination of the three is an *instance*; its objects and libraries lie in
#   $(call hak_out,flavour,compiler,geometry)  =  $(BUILD)/<flavour>-<compiler>[-small]
#
# For fuzz/rules.mk, tests/rules.mk and the like, which are included at the end:
#   $(call hak_use,flavour,compiler,geometry)   makes the rules of an instance (once), among them
#       OUT/%.o            from %.c and %.cc anywhere in the tree, with the instance's flags
#       OUT/libhakmem-prefixed.a   the allocator with hak_ names only: link harnesses with this
#       OUT/libhakmem.so OUT/libhakmem.a   (-audit etc. in the name) with the standard names too
#   $(call hak_link,flavour,compiler,geometry)      the command that links C programs of it
#   $(call hak_link_cxx,flavour,compiler,geometry)  and C++ programs; both want `-o $@ $^ ...`
#   A flavour of their own: add its name to FLAVOURS and set CFLAGS_<flavour> and, where the
#   default (below) does not fit, CHECKED_, INCLUDES_, SOURCES_<flavour>, before hak_use.
#   CLANG is the compiler with the newest sanitizers and libFuzzer.
# A public target of theirs has `## what it does` behind its prerequisites: help shows it.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-print-directory

export BUILD ?= build
# One spelling of a folder below this one: the rules that compilers write into *.d name files by it.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
FLAVOUR ?= release
GEOMETRY ?= default
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang-19
AARCH64_CC ?= aarch64-linux-gnu-gcc
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include

VERSION := $(shell sed -n 's/^\#define HAKMEM_VERSION_[MP][A-Z]* //p' src/hakmem.h | paste -sd.)
SONAME_MAJOR := $(firstword $(subst ., ,$(VERSION)))

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets (this is what `make` alone does)
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  %-14s %s\n", $$1, $$2}' \
	    $(filter-out %.d,$(MAKEFILE_LIST))
	@echo "Variables (see the top of Makefile): BUILD FLAVOUR CC GEOMETRY LTO V PREFIX DESTDIR"

# ---- flavours ----

FLAVOURS := release hardened audit asan asan-user tsan msan valgrind analyzer fuzz
SANITIZE_ADDRESS := -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_release := -O2 -ffunction-sections $(if $(LTO),-flto=auto -ffat-lto-objects)
CFLAGS_hardened := -O2 -ffunction-sections
CFLAGS_audit := -O2
CFLAGS_asan := -O1 -fno-omit-frame-pointer $(SANITIZE_ADDRESS)
# Not instrumented, for programs that are: their mistakes are found, not ours.
CFLAGS_asan-user := -O1 -fno-omit-frame-pointer -DHAK_HEAP_REPORTS=1
CHECKED_asan-user := 0
CFLAGS_tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread
CFLAGS_msan := -O1 -fno-omit-frame-pointer -fsanitize=memory -fsanitize-memory-track-origins
CFLAGS_valgrind := -O1 -gdwarf-4 -fno-omit-frame-pointer -DHAK_VALGRIND=1
# For `make prefixed`: compiling is what it does (gcc; scripts/analyze has clang's).
CFLAGS_analyzer := -O2 -fanalyzer
CFLAGS_fuzz := $(CFLAGS_asan) -fsanitize=fuzzer-no-link
CHECKED_release := 0
CHECKED_hardened := 0
MITIGATIONS_hardened ?= 2047

# ---- flags ----

WARNINGS := -Wall -Wextra -Wundef -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wwrite-strings -Werror
WARNINGS_CXX := -Wall -Wextra -Wundef -Wshadow -Wvla -Werror
# The map makes the libraries the same whichever folder they are built in.
COMMON_CFLAGS := -g -fPIC -fvisibility=hidden -pthread -fdebug-prefix-map=$(CURDIR)=.

# The allocator's own code. It must not be turned into calls of what it defines (malloc followed
# by memset into calloc, say), and its thread's heap is found without a call.
ALLOCATED := malloc calloc realloc free aligned_alloc posix_memalign memalign
ALLOCATOR_CFLAGS := -ftls-model=initial-exec -fno-semantic-interposition -fno-plt \
                    -fno-strict-aliasing $(ALLOCATED:%=-fno-builtin-%)

# Calls within the library are bound at link time, but for operator new and delete: a program that
# replaces one form of them gets the forms that build on it.
SO_LDFLAGS := -shared -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,-z,nodelete \
              -Wl,-Bsymbolic-functions -Wl,--gc-sections -Wl,-T,src/sections.ld \
              -Wl,--dynamic-list-cpp-new -Wl,--version-script=src/libhakmem.map

# ---- instances ----

ASAN_USER := src/seam/reports.c src/override_asan.c
# Last, those whose large tables most programs do not touch: all other variables share a page.
SPARSE := src/options.c src/sampled.c src/foreign.c src/heaps.c
SOURCES := $(sort $(filter-out $(ASAN_USER) $(SPARSE),$(wildcard src/*.c src/seam/*.c src/*.cc))) \
    $(SPARSE)
SOURCES_asan-user := $(filter-out src/override%,$(SOURCES)) $(ASAN_USER)
STANDARD_NAMES := $(wildcard src/override*)

# Exceptions pass through the operators.
FILE_CFLAGS_src/override_cxx.c := -fexceptions
FILE_CFLAGS_src/override_nothrow.cc := -fexceptions -fno-rtti

hak_objects = $(addsuffix .o,$(addprefix $(1)/,$(basename $(2))))
cxx_of = $(patsubst gcc%,g++%,$(patsubst clang%,clang++%,$(1:%-gcc=%-g++)))
hak_out = $(BUILD)/$(1)-$(notdir $(2))$(if $(filter small,$(3)),-small)
hak_checked = $(if $(CHECKED_$(1)),$(CHECKED_$(1)),1)
hak_mitigations = $(if $(MITIGATIONS_$(1)),$(MITIGATIONS_$(1)),0)
hak_ceiling = $(if $(CEILING_$(1)),$(CEILING_$(1)),0)
hak_includes = $(if $(INCLUDES_$(1)),$(INCLUDES_$(1)),-Isrc)
hak_sources = $(if $(SOURCES_$(1)),$(SOURCES_$(1)),$(SOURCES))
hak_library = libhakmem$(if $(filter-out release,$(1)),-$(1))
hak_so = $(hak_out)/$(hak_library).so
hak_cflags = $(COMMON_CFLAGS) $(CFLAGS_$(1)) $(hak_includes) -DHAK_CHECKED=$(hak_checked) \
    -DGEOMETRY_SMALL=$(if $(filter small,$(3)),1,0) -DHAK_MITIGATIONS=$(call hak_mitigations,$(1)) \
    -DHAK_CEILING=$(call hak_ceiling,$(1)) -DHAK_FLAVOUR='"$(1)"' $(EXTRA_CFLAGS)
hak_cc = $(2) -std=gnu11 $(WARNINGS) $(hak_cflags)
hak_cxx = $(call cxx_of,$(2)) -std=gnu++17 $(WARNINGS_CXX) $(hak_cflags)
# As text of a shell, without the folder: a copy of the tree goes on with the objects of this one.
hak_flags = $(subst $(CURDIR),.,$(subst ','"'"',$(call hak_cc,$(1),$(2),$(3)) $(ALLOCATOR_CFLAGS)))
hak_link = $(2) -pthread -g $(CFLAGS_$(1))
hak_link_cxx = $(call cxx_of,$(2)) -pthread -g $(CFLAGS_$(1))

# In front of a command: says what is made instead of how, unless V=1.
hak_say = $(if $(V),,@echo '  $(1) $$@' && )

define hak_use
$(if $(filter $(1)|$(2)|$(3),$(HAK_INSTANCES)),,
$(if $(filter $(1),$(FLAVOURS)),,$(error FLAVOUR=$(1): there are $(FLAVOURS)))
$(if $(filter default small,$(3)),,$(error GEOMETRY=$(3): there are default and small))
$(eval HAK_INSTANCES += $(1)|$(2)|$(3))
$(eval $(call hak_rules,$(1),$(2),$(3),$(call hak_out,$(1),$(2),$(3)),$(call hak_library,$(1)))))
endef

# $(1) flavour, $(2) compiler, $(3) geometry, $(4) folder, $(5) base name of the libraries
define hak_rules
$(4)/flags: FORCE
	@mkdir -p $$(@D)
	@next=$$@.$$$$$$$$; \
	    echo '$(call hak_flags,$(1),$(2),$(3))' >$$$$next; \
	    cmp -s $$$$next $$@ && rm $$$$next || mv $$$$next $$@

$(4)/src/%.o: src/%.c $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$(call hak_cc,$(1),$(2),$(3)) \
	    $(ALLOCATOR_CFLAGS) $$(FILE_CFLAGS_$$<) -MMD -MP -c -o $$@ $$<

$(4)/src/%.o: src/%.cc $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$(call hak_cxx,$(1),$(2),$(3)) \
	    $(ALLOCATOR_CFLAGS) $$(FILE_CFLAGS_$$<) -MMD -MP -c -o $$@ $$<

$(4)/%.o: %.c $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$(call hak_cc,$(1),$(2),$(3)) -MMD -MP -c -o $$@ $$<

$(4)/%.o: %.cc $(4)/flags
	@mkdir -p $$(@D)
	$(call hak_say,compile)$(call hak_cxx,$(1),$(2),$(3)) -MMD -MP -c -o $$@ $$<

# Archives are made anew: ar would keep members whose source is gone.
$(4)/libhakmem-prefixed.a: \
    $(call hak_objects,$(4),$(filter-out $(STANDARD_NAMES),$(call hak_sources,$(1))))
	@rm -f $$@
	$(call hak_say,archive)ar rcsD $$@ $$^

$(4)/$(5).a: $(call hak_objects,$(4),$(call hak_sources,$(1)))
	@rm -f $$@
	$(call hak_say,archive)ar rcsD $$@ $$^

$(4)/$(5).so.$(VERSION): $(call hak_objects,$(4),$(call hak_sources,$(1))) \
    src/libhakmem.map src/sections.ld
	$(call hak_say,link)$(2) $(CFLAGS_$(1)) -g $(SO_LDFLAGS) \
	    $(if $(filter -fsanitize% -DHAK_HEAP_REPORTS%,$(CFLAGS_$(1))),,-Wl,-z,defs) \
	    -Wl,-soname,$(5).so.$(SONAME_MAJOR) -o $$@ $$(filter %.o,$$^) -pthread
	@ln -sf $$(@F) $(4)/$(5).so.$(SONAME_MAJOR)

$(4)/$(5).so: $(4)/$(5).so.$(VERSION)
	@ln -sf $$(<F) $$@

-include $$(shell find $(4) -name '*.d' 2>/dev/null)
endef

.PHONY: FORCE
FORCE:

# ---- the libraries ----

OUT := $(call hak_out,$(FLAVOUR),$(CC),$(GEOMETRY))
LIBRARY := $(call hak_library,$(FLAVOUR))
AUDIT_OUT := $(call hak_out,audit,$(CC),$(GEOMETRY))

.PHONY: all lib audit prefixed
all: lib audit ## libhakmem.so, libhakmem.a (of FLAVOUR), libhakmem-audit.so
lib: $(OUT)/$(LIBRARY).so $(OUT)/$(LIBRARY).a ## the shared and the static library of FLAVOUR
audit: $(AUDIT_OUT)/libhakmem-audit.so ## libhakmem-audit.so: all assertions on
prefixed: $(OUT)/libhakmem-prefixed.a ## the archive for harnesses: hak_ names only

# ---- tests ----
#
# tests/{unit,api}/test_*.c are cmocka programs, linked with the archive of hak_ names and run in
# both geometries. tests/{unit,api}/so_*.c and so_*.cc are cmocka programs too, linked with the
# shared libraries: they call the standard names. LDFLAGS_<program> (in a rules.mk) is added
# where such a program is linked; $(call hak_test_needs,unit/test_x,fuzz/x.o) adds objects of ours.
# TEST_OBJECTS and TEST_LDFLAGS are for all test_* programs.
# tests/misuse/run takes the path of a shared library, tests/real/run those of several. All append
# `pass NAME`, `fail NAME` or `skip NAME REASON` to the file $HAK_RESULTS; scripts/tally sums these.

TEST_FLAVOUR := $(if $(filter command environment,$(origin FLAVOUR)),$(FLAVOUR),audit)
TEST_GEOMETRIES ?= default small
# A sanitizer's own malloc and ours cannot both be the process's malloc.
LIBRARY_FLAVOUR := $(filter hardened valgrind cover cover-hardened,$(TEST_FLAVOUR))
SO_FLAVOURS := $(if $(filter release audit,$(TEST_FLAVOUR)),release audit,$(LIBRARY_FLAVOUR))
LIBRARY_FLAVOURS := $(or $(LIBRARY_FLAVOUR),release audit)
TEST_LIBRARIES := $(foreach f,$(LIBRARY_FLAVOURS),$(call hak_so,$(f),$(CC),default))

# Programs of the valgrind flavour run under memcheck. Real ones do not: its reports would be about
# mistakes of theirs. The corpus does instead.
TEST_SUITES := unit api misuse $(if $(filter valgrind,$(TEST_FLAVOUR)),replay,real-canary \
    real-short)
ifeq ($(TEST_FLAVOUR),valgrind)
export HAK_TEST_UNDER ?= valgrind -q --error-exitcode=99 --soname-synonyms=somalloc=nouserintercepts
export HAK_TEST_SECONDS ?= 900
export HAK_TEST_JOBS ?= $(shell nproc)
endif

hak_test_needs = $(foreach g,$(TEST_GEOMETRIES),$(eval $(call \
    hak_out,$(TEST_FLAVOUR),$(CC),$(g))/tests/$(1): $(addprefix $(call \
    hak_out,$(TEST_FLAVOUR),$(CC),$(g))/,$(2))))

# $(1) suite -> the programs of it
test_programs = $(foreach g,$(TEST_GEOMETRIES),$(patsubst %.c,$(call \
    hak_out,$(TEST_FLAVOUR),$(CC),$(g))/%,$(wildcard tests/$(1)/test_*.c)))
so_programs = $(foreach f,$(SO_FLAVOURS),$(patsubst %,$(call \
    hak_out,$(f),$(CC),default)/%,$(basename $(wildcard tests/$(1)/so_*.c tests/$(1)/so_*.cc))))
chosen = $(if $(TESTS),$(foreach t,$(TESTS),$(filter %/test_$(t) %/so_$(t),$(1))),$(1))
UNIT_PROGRAMS = $(call chosen,$(call test_programs,unit) $(call so_programs,unit))
API_PROGRAMS = $(call chosen,$(call test_programs,api) $(call so_programs,api))

# $(1) flavour, $(2) geometry
define test_rules
$(call hak_use,$(1),$(CC),$(2))
$(call hak_out,$(1),$(CC),$(2))/tests/%: $(call hak_out,$(1),$(CC),$(2))/tests/%.o \
    $(call hak_out,$(1),$(CC),$(2))/libhakmem-prefixed.a \
    $(TEST_OBJECTS:%=$(call hak_out,$(1),$(CC),$(2))/%)
	$(call hak_say,link)$(call hak_link,$(1),$(CC),$(2)) -o $$@ $$(filter %.o,$$^) \
	    $$(filter %.a,$$^) $$(LDFLAGS_$$(@F)) $(TEST_LDFLAGS) -lcmocka -ldl
endef

# Programs so_* find the library two folders above them.
# $(1) flavour, $(2) folder, $(3) suite
define so_rules
$(2)/tests/$(3)/so_%: $(2)/tests/$(3)/so_%.o $(call hak_so,$(1),$(CC),default)
	$(call hak_say,link)$(call hak_link_cxx,$(1),$(CC),default) -o $$@ \
	    $$(filter %.o,$$^) -Wl,--no-as-needed $$(filter %.so,$$^) $$(LDFLAGS_$$(@F)) \
	    -lcmocka -ldl '-Wl,-rpath,$$$$ORIGIN/../..'
endef

.PHONY: test test-build unit api misuse
test: test-build ## unit, API, misuse and real-program tests; the last line counts them
	@+scripts/tally test -- $(SHELL) -c 'status=0; for suite in $(TEST_SUITES); do \
	    $(MAKE) $$suite || status=1; done; exit $$status'
test-build: $(UNIT_PROGRAMS) $(API_PROGRAMS) $(TEST_LIBRARIES)
unit: $(UNIT_PROGRAMS) ## unit tests of every module, in both geometries
	@scripts/tally unit -- scripts/run-cmocka $^
api: $(API_PROGRAMS) ## conformance tests of the public functions
	@scripts/tally api -- scripts/run-cmocka $^

# ---- style ----

C_FILES = $(shell git ls-files -co --exclude-standard '*.c' '*.h' '*.cc' | grep -v '^corpus/')
.PHONY: tidy format format-check exports
tidy: ## the rules of the source that a script can check
	@scripts/tally tidy -- scripts/check-style
format-check: ## report what clang-format would change
	@scripts/tally format -- scripts/check-style format
format: ## let clang-format change it
	clang-format-14 -i $(C_FILES)
exports: lib ## compare the symbols of the library with hakmem.h and the version script
	@scripts/tally exports -- scripts/exports $(OUT)/$(LIBRARY).so $(OUT)/$(LIBRARY).a

.PHONY: analyze
analyze: ## gcc -fanalyzer and clang-tidy over src/: no findings
	@+scripts/tally analyze -- scripts/for-each scripts/analyze gcc clang

# ---- another processor ----

.PHONY: aarch64
aarch64: ## cross-build for aarch64; unit and API tests, and the scheduler's, under qemu-user
	+$(MAKE) BUILD=$(BUILD)/aarch64 CC=$(AARCH64_CC) FLAVOUR=audit TEST_GEOMETRIES=small \
	    TEST_OBJECTS=tests/aarch64/kernel.o TEST_LDFLAGS=-Wl,--wrap=mremap,--wrap=madvise \
	    aarch64-run
	+$(MAKE) BUILD=$(BUILD)/aarch64 CC=$(AARCH64_CC) UNDER=qemu-aarch64 litmus planted
.PHONY: aarch64-run
aarch64-run: $(UNIT_PROGRAMS) $(API_PROGRAMS) lib
	@HAK_TEST_SECONDS=240 scripts/tally aarch64 -- tests/aarch64/run \
	    $(UNIT_PROGRAMS) $(API_PROGRAMS)

# ---- the hunt ----

.PHONY: hunt
export TIME JOBS TARGET ENGINE
hunt: ## fuzz the complete allocator (TIME= JOBS= TARGET= ENGINE=libfuzzer|afl)
	+scripts/hunt

# ---- installation ----

TO_LIB = $(DESTDIR)$(LIBDIR)
TO_INCLUDE = $(DESTDIR)$(INCLUDEDIR)
SHORT_NAME = $(LIBRARY:lib%=%)

.PHONY: install uninstall install-check clean setup
install: lib ## libraries, header, manuals, pkg-config and CMake files to $(DESTDIR)$(PREFIX)
	install -d $(TO_LIB)/pkgconfig $(TO_INCLUDE)
	install -m 755 $(OUT)/$(LIBRARY).so.$(VERSION) $(TO_LIB)
	ln -sf $(LIBRARY).so.$(VERSION) $(TO_LIB)/$(LIBRARY).so.$(SONAME_MAJOR)
	ln -sf $(LIBRARY).so.$(SONAME_MAJOR) $(TO_LIB)/$(LIBRARY).so
	install -m 644 $(OUT)/$(LIBRARY).a $(TO_LIB)
	install -m 644 src/hakmem.h $(TO_INCLUDE)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
	    -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@NAME@|$(SHORT_NAME)|' src/hakmem.pc.in >$(TO_LIB)/pkgconfig/$(SHORT_NAME).pc
uninstall: ## remove what install put there
	rm -f $(TO_LIB)/$(LIBRARY).so $(TO_LIB)/$(LIBRARY).so.$(SONAME_MAJOR) \
	    $(TO_LIB)/$(LIBRARY).so.$(VERSION) $(TO_LIB)/$(LIBRARY).a \
	    $(TO_LIB)/pkgconfig/$(SHORT_NAME).pc $(TO_INCLUDE)/hakmem.h
install-check: lib ## install into an empty folder, build programs with it, uninstall
	@CC=$(CC) scripts/tally install -- scripts/test-install
clean: ## remove $(BUILD)
	rm -rf $(BUILD)
setup: ## install the packages that are missing (says what it does)
	scripts/setup

# ---- everything above, made into rules ----

-include tests/rules.mk tests/wrong/rules.mk fuzz/rules.mk fuzz/sched/rules.mk
-include tests/coverage/rules.mk bench/rules.mk bench/ceiling.mk stress/rules.mk
-include tests/model/rules.mk trace/rules.mk fuzz/minimize.mk tests/mutants/rules.mk
-include packaging/rules.mk tools/rules.mk
-include tests/identical/rules.mk tests/misuse/rules.mk bench/mitigations.mk
-include report/rules.mk tests/campaign/rules.mk fuzz/oss-fuzz/rules.mk

$(call hak_use,$(FLAVOUR),$(CC),$(GEOMETRY))
$(call hak_use,audit,$(CC),$(GEOMETRY))
$(foreach f,$(sort release audit hardened $(SO_FLAVOURS)),$(call hak_use,$(f),$(CC),default)$(eval \
    $(call so_rules,$(f),$(call hak_out,$(f),$(CC),default),unit))$(eval \
    $(call so_rules,$(f),$(call hak_out,$(f),$(CC),default),api)))
$(foreach g,$(TEST_GEOMETRIES),$(eval $(call test_rules,$(TEST_FLAVOUR),$(g))))
