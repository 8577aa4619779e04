# Every target sets up what it needs: a virtual environment in .venv, and Redis where a test wants it.
SHELL := bash
export DEBIAN_FRONTEND := noninteractive
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SERVERS := $(BIN)/python -m tests.servers
PYTEST := $(BIN)/python -m pytest
# Four on two cores, for many tests mostly wait. Which of them begins with which tests: tests/order.py.
PARALLEL := -n 4 --dist worksteal
CODE := $(wildcard src tests examples benchmarks scripts)

.PHONY: help install demo test check docs format unit conformance system bench clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*##\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

install: $(INSTALLED)  ## make the virtual environment

demo: $(INSTALLED)  ## start a worker, send jobs and watch them run; SERVE=1: in the dashboard, too
	@SERVE=$(SERVE) $(BIN)/python -m examples.demo

test: $(INSTALLED)  ## every test
	@$(SERVERS) install
	@$(BIN)/python -m compileall -q -j 0 src  # once, and not in each of the many processes that tests start
	@$(PYTEST) $(PARALLEL) tests

unit: $(INSTALLED)  ## the quick tests, no server
	@$(PYTEST) tests/unit

conformance: $(INSTALLED)  ## what every broker and store must keep, on each of them
	@$(SERVERS) install
	@$(PYTEST) $(PARALLEL) tests/conformance

system: $(INSTALLED)  ## real workers, killed and paused
	@$(SERVERS) install
	@$(PYTEST) tests/system

check: $(INSTALLED)  ## lint, format, types, imports and the structure of the house
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy $(CODE)
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(PYTEST) tests/house

docs: $(INSTALLED)  ## write the pages that are made from the code
	@$(BIN)/python -m tests.guarantees --write

format: $(INSTALLED)  ## let ruff format and repair what it can
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

bench: $(INSTALLED)  ## measure, and write the results; ONLY=flows,events: these parts; MINUTES=34: as much as fits
	@$(SERVERS) install
	@$(BIN)/python -m benchmarks --write $(if $(ONLY),--part $(ONLY)) $(if $(MINUTES),--minutes $(MINUTES))

clean:  ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# Debian ships Python without the module that puts pip into an environment.
$(BIN)/pip:
	@$(PYTHON) -m venv $(VENV) || { \
		(apt-get install -y python3-venv || { apt-get update && apt-get install -y python3-venv; }) && \
		$(PYTHON) -m venv --clear $(VENV); }

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Setting up $(VENV): about a minute, once.'
	@$(BIN)/pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	@touch $@
