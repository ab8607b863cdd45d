# tests/mutants/rules.mk: bugs put back by hand; included by the top Makefile.

.PHONY: mutants
mutants: ## put known bugs back, one by one: each must be found (MUTANT= PART=K/N ALL=1)
	+scripts/mutants
.PHONY: mutants-history
comma := ,
mutants-history: ## bugs of the past put back: hunted, replayed 100 times, told (MUTANT=)
	+scripts/history $(subst $(comma), ,$(MUTANT))
.PHONY: mutants-generated
export COUNT SEED ONLY
mutants-generated: ## change the source at random places: who notices? (COUNT= SEED= ONLY=)
	+scripts/mutants-generated
