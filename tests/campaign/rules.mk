# tests/campaign/rules.mk: the campaign and its tests; included by the top Makefile.

.PHONY: overnight campaign-test
export HOURS ARMS SLICE MEMORY_MB DISK_MB RESERVE_MB PATIENCE FINDINGS
overnight: ## hunt for HOURS=8 with JOBS=2, goes on after a kill (docs/CAMPAIGN.md)
	+scripts/overnight
campaign-test: ## the campaign: killed, resumed, on a full disk; findings, report, clusters
	+@scripts/tally campaign -- tests/campaign/run
