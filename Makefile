# jinliu: `make help` lists the recipes. Everything lives in .venv and in the user's cache; no Docker and no Java are needed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check lint bench setup lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ROOMS := topologies schemas producers streams jinliu
ARGS ?=
CACHE := $(or $(JINLIU_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/jinliu)

# What the embedded Kafka is made of: gone from the cache (or changed in the lock), it is fetched again.
KAFKA := $(CACHE)/kafka-ready
INSTALLED := $(VENV)/installed
DEVELOPER := $(VENV)/installed-dev

help: ## Say what the recipes do.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(KAFKA) ## Set up what is missing, then `jinliu up`: make run ARGS='--seed 7 --once'.
	@$(BIN)/jinliu up $(ARGS)

test: $(DEVELOPER) $(KAFKA) ## All tests; those on containers are skipped where there is no Docker: make test ARGS='-k windows'.
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEVELOPER) $(KAFKA) lint ## What CI checks: style, types, import direction, all tests with coverage.
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

lint: $(DEVELOPER) ## Style, types and import direction only.
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(KAFKA) ## Measure CPU per event and events per second: make bench ARGS='fold emit'.
	@$(BIN)/jinliu bench $(ARGS)

setup: $(KAFKA) ## Only the set-up: .venv from the hashed lock, the embedded Kafka, compiled kernels.

lock: ## Renew the lock files from pyproject.toml.
	@scripts/lock

clean: ## Drop .venv and what the tools keep here (not the user's cache, not .jinliu).
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'jinliu needs Python 3.11 or later; $(PYTHON) is '"$$($(PYTHON) --version 2>&1)"': make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo 'no virtual environment: on Debian and Ubuntu, apt install python3-venv' >&2; rm -rf $(VENV); exit 1; }

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/python
	@echo 'installing the locked packages into $(VENV)'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEVELOPER): requirements-dev.lock $(INSTALLED)
	@echo 'installing the tools for tests and checks'
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(KAFKA): jinliu/kafka-jars.lock jinliu/archive.py $(INSTALLED)
	@$(BIN)/jinliu setup
	@touch $@
