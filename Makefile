# What people and CI call. The environments are made when they are first needed and again when their requirements change.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_OPTIONS := --quiet --disable-pip-version-check --no-input
BIN := .venv/bin
CONSTRAINTS := requirements/constraints.txt
SERVING := .venv/.installed-serving
TRAINING := .venv/.installed-train
TESTING := .venv/.installed-test
TRITON := .venv-triton/.installed
# Test files of the first two floors go to this many processes, each with a Postgres, a Triton and Bentos of its own.
PROCESSES ?= $(shell test "$$(getconf _NPROCESSORS_ONLN)" -gt 1 && echo 2 || echo 1)
SPREAD := $(if $(filter-out 1,$(PROCESSES)),-n $(PROCESSES) --dist loadfile)

.PHONY: help up down status logs doctor test check fuzz bench chaos demo-models train-env lock

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Set everything up and start the platform; Ctrl-C stops it. ARGS=--detach sends it to the background.
	@$(MAKE) --no-print-directory -j2 $(SERVING) $(TRITON)
	@exec $(BIN)/bonafide up $(ARGS)

down: $(SERVING) ## Stop the platform.
	@$(BIN)/bonafide down

status: $(SERVING) ## Show what runs and how much memory it takes.
	@$(BIN)/bonafide status

logs: $(SERVING) ## Show the logs. ARGS="gateway -f" follows one.
	@$(BIN)/bonafide logs $(ARGS)

doctor: $(SERVING) ## Say what is missing or wrong.
	@$(BIN)/bonafide doctor

test: $(TESTING) $(TRITON) ## Run all tests: unit, integration on the real parts, end to end. PROCESSES=1 runs one after the other.
	$(BIN)/pytest -m "not integration and not e2e" $(SPREAD) $(ARGS)
	$(BIN)/pytest -m "integration and not e2e" $(SPREAD) $(ARGS)
	$(BIN)/pytest -m e2e $(ARGS)

check: $(TESTING) ## Lint, check the format and the types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

fuzz: $(TESTING) ## Try every operation of the API with many made-up calls. FUZZ_EXAMPLES=200 is how many for each.
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} $(BIN)/pytest -s tests/gateway/api/test_fuzz.py $(ARGS)

bench: $(TESTING) $(TRITON) ## Measure the platform beside a bare loop and a plain server.
	$(BIN)/python -m scripts.bench $(ARGS)

chaos: $(TESTING) $(TRITON) ## Kill, stop and cut off parts under load; count what is lost or late. ARGS="--only workers --kills 20"
	$(BIN)/python -m scripts.chaos $(ARGS)

demo-models: $(TRAINING) ## Make the demo weights anew: data, training, export.
	$(BIN)/python -m scripts.demo $(ARGS)

train-env: $(TRAINING) ## Install what training and converting models needs.

lock: $(TESTING) $(TRITON) ## Write the installed versions down as the pinned ones.
	$(BIN)/pip freeze --exclude-editable > $(CONSTRAINTS)
	.venv-triton/bin/pip freeze > requirements/triton.txt

# An environment is made by one Python and stays with it; a new Python starts over.
define make_environment
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo 'Bonafide needs Python 3.11; set PYTHON to one (make up PYTHON=/path/to/python3.11).' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null \
	  || { echo 'This Python cannot make environments (Debian: apt-get install python3.11-venv).' >&2; exit 1; }
	"$(PYTHON)" -m venv $(1)
endef

.venv/bin/python:
	$(call make_environment,.venv)

.venv-triton/bin/python:
	$(call make_environment,.venv-triton)

$(SERVING): pyproject.toml clients/python/pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	@echo 'Installing what serving needs …'
	$(BIN)/pip install $(PIP_OPTIONS) -c $(CONSTRAINTS) -e clients/python -e .
	@touch $@

$(TRAINING): pyproject.toml $(CONSTRAINTS) | $(SERVING)
	@echo 'Installing what training needs; this takes some minutes …'
	$(BIN)/pip install $(PIP_OPTIONS) -c $(CONSTRAINTS) -e '.[train]'
	@touch $@

$(TESTING): pyproject.toml $(CONSTRAINTS) | $(SERVING)
	@echo 'Installing what the tests need; this takes some minutes …'
	$(BIN)/pip install $(PIP_OPTIONS) -c $(CONSTRAINTS) -e '.[test]'
	@touch $@

$(TRITON): requirements/triton.txt | .venv-triton/bin/python
	@echo 'Installing Triton …'
	.venv-triton/bin/pip install $(PIP_OPTIONS) -r requirements/triton.txt
	@touch $@
