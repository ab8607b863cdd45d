# packaging/rules.mk: what a distribution needs beside the libraries.
#
#   install         also: CMake files, hakmem(3), hakmem(7)
#   install-tools   hakmem-trace, hakmem-trace-plot, hakmem-tune, hakmem-map, hakmem-stats, the
#                   recorder, their manual pages
#   dist            the source archive of the last commit, the same bytes wherever it is made

MANDIR ?= $(PREFIX)/share/man
BINDIR ?= $(PREFIX)/bin
SHAREDIR ?= $(PREFIX)/share/hakmem

TO_CMAKE = $(TO_LIB)/cmake/$(SHORT_NAME)
TO_MAN = $(DESTDIR)$(MANDIR)
TO_SHARE = $(DESTDIR)$(SHAREDIR)
TO_BIN = $(DESTDIR)$(BINDIR)
# Private to the tools: nothing is linked with it.
TO_PRIVATE = $(TO_LIB)/hakmem

LIBRARY_PAGES := man3/hakmem.3 man7/hakmem.7
TOOL_PAGES := man1/hakmem-map.1 man1/hakmem-stats.1 man1/hakmem-trace.1 \
    man1/hakmem-trace-plot.1 man1/hakmem-tune.1
PYTHON_TOOLS := hakmem-map hakmem-stats hakmem-tune hakmem-trace-plot
PYTHON_PARTS = $(wildcard tools/tuning/*.py tools/mapping/*.py)
install_pages = $(foreach p,$(1),install -Dm 644 man/$(notdir $(p)) $(TO_MAN)/$(p) &&) true
CMAKE_NAMES = $(SHORT_NAME)Config $(SHORT_NAME)ConfigVersion

.PHONY: install-cmake install-pages uninstall-pages install-tools uninstall-tools
install: install-cmake install-pages
install-cmake:
	install -d $(TO_CMAKE)
	for name in Config ConfigVersion; do \
	    sed -e 's|@NAME@|$(SHORT_NAME)|g' -e 's|@VERSION@|$(VERSION)|g' \
	        -e 's|@SONAME_MAJOR@|$(SONAME_MAJOR)|g' \
	        -e "s|@INCLUDE_FROM_LIB@|$$(realpath -ms --relative-to=$(LIBDIR) $(INCLUDEDIR))|g" \
	        packaging/hakmem$$name.cmake.in >$(TO_CMAKE)/$(SHORT_NAME)$$name.cmake || exit; \
	done
install-pages:
	$(call install_pages,$(LIBRARY_PAGES))
uninstall: uninstall-pages
uninstall-pages:
	rm -f $(CMAKE_NAMES:%=$(TO_CMAKE)/%.cmake) $(LIBRARY_PAGES:%=$(TO_MAN)/%)

install-tools: tools ## hakmem-trace, -tune, -map, -stats, the recorder to $(DESTDIR)$(PREFIX)
	install -d $(TO_BIN) $(TO_PRIVATE) $(TO_SHARE)
	install -m 755 $(BUILD)/hakmem-trace $(TO_BIN)
	install -m 755 $(BUILD)/hakmem-launch $(TO_PRIVATE)
	install -m 644 $(BUILD)/libhakmem-record.so $(TO_PRIVATE)
	install -m 755 $(PYTHON_TOOLS:%=tools/%) $(TO_SHARE)
	install -m 644 bench/allocators.py $(TO_SHARE)
	for part in $(PYTHON_PARTS:tools/%=%); do \
	    install -Dm 644 tools/$$part $(TO_SHARE)/$$part || exit; \
	done
	ln -sf $(PYTHON_TOOLS:%="$$(realpath -ms --relative-to=$(BINDIR) $(SHAREDIR))/%") $(TO_BIN)
	$(call install_pages,$(TOOL_PAGES))
uninstall-tools: ## remove what install-tools put there
	rm -f $(TO_BIN)/hakmem-trace $(TO_PRIVATE)/hakmem-launch \
	    $(TO_PRIVATE)/libhakmem-record.so $(TO_SHARE)/allocators.py \
	    $(PYTHON_TOOLS:%=$(TO_BIN)/%) $(PYTHON_TOOLS:%=$(TO_SHARE)/%) \
	    $(PYTHON_PARTS:tools/%=$(TO_SHARE)/%) $(TOOL_PAGES:%=$(TO_MAN)/%)

.PHONY: dist dist-check man-check package-check
DIST := $(BUILD)/hakmem-$(VERSION).tar.gz
dist: ## the source archive of the last commit: build/hakmem-VERSION.tar.gz
	@packaging/dist $(VERSION) $(DIST)
dist-check: ## make dist in two clones must give the same bytes, and they must build
	@CC=$(CC) scripts/tally dist -- scripts/test-dist
man-check: ## mandoc has nothing to say, and every function, option and command is described
	@scripts/tally man -- scripts/test-man
package-check: ## build the Debian package of the last commit, ask lintian, use what it holds
	@scripts/tally package -- scripts/test-package
