# report/rules.mk: the page.

.PHONY: report
report: ## the page of all hunts and campaigns: build/report/index.html
	@report/generate
