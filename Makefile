# make help lists these; every target does the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
STAMP := $(VENV)/.runtime
DEV := $(VENV)/.dev
READY := $(VENV)/.ready

.PHONY: help run test lint check bench setup compose lock clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 10

run: $(READY) ## set up and run the whole stack; make run ARGS='--once --seed 7' passes options to `jinliu up`
	@$(BIN)/jinliu up $(ARGS)

test: $(DEV) $(READY) ## set up and run the tests; make test ARGS='tests/unit -k windows' narrows them
	$(BIN)/python -m pytest $(ARGS)

lint: $(DEV) ## style, types, import direction
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## what CI runs: lint, then the tests with branch coverage
	@$(MAKE) --no-print-directory test ARGS='--cov --cov-report=term:skip-covered $(ARGS)'

bench: $(READY) ## measure; make bench ARGS='fold emit --json' narrows it
	@$(BIN)/jinliu bench $(ARGS)

setup: $(READY) ## only the set-up

compose: ## the full stack in containers
	docker compose up --build --wait

lock: $(DEV) ## renew the lock files from pyproject.toml
	$(PIP) install pip-tools
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --strip-extras --allow-unsafe -o requirements.lock pyproject.toml
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --strip-extras --allow-unsafe --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

clean: ## remove the environment and the default data directory
	rm -rf $(VENV) .jinliu

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"jinliu needs Python 3.11 or newer, this is {v.major}.{v.minor}: make PYTHON=python3.12 ...")'
	@echo "setting up $(VENV) (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e . 2>/dev/null || $(PIP) install --no-deps -e .
	@touch $@

$(DEV): $(STAMP) requirements-dev.lock
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

$(READY): $(STAMP) jinliu/kafka-jars.lock
	@$(BIN)/jinliu setup
	@touch $@
