# Two commands matter: `make run` and `make test`. Both set up what they need first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REGION ?= us-east-1
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup run test nightly lint bench demo clean lock openapi
.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.installed node_modules/.installed ## install what everything needs; does nothing twice

$(VENV)/.installed: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	node_modules/.bin/node --version > /dev/null
	touch $@

run: setup ## both regions on this machine, one charge to see it work, until Ctrl-C
	$(BIN)/payments up

# schemathesis spreads its cases over pytest-xdist's workers in a way of its own, and there is one local cloud at a time.
ALONE := tests/functional/api/test_conformance.py
test: setup ## all tests: unit, functional, infrastructure, simulation, end to end
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore $(ALONE) tests/functional tests/unit tests/infrastructure
	$(BIN)/pytest -n 2 tests/simulation
	$(BIN)/pytest $(ALONE) tests/e2e

nightly: setup ## ten seeds of chaos, a minute each, and the audit after each
	CHAOS_SEEDS=1,2,3,4,5,6,7,8,9,10 $(BIN)/pytest tests/e2e/test_chaos.py

lint: setup ## style, types, and the walls between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy layers/payments/python functions
	$(BIN)/lint-imports

bench: setup ## figures against the budgets
	$(BIN)/python -m bench

demo: setup ## plays the platform's main scenes; starts it when it is not up
	$(BIN)/payments demo

openapi: setup ## docs/openapi.json from the API's routes
	PYTHONPATH=layers/payments/python AWS_REGION=us-east-1 $(BIN)/python -m functions.api.openapi

lock: ## compile the hash-pinned requirement files from their .in files
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes requirements-dev.in -o requirements-dev.txt
	for room in layers/dependencies functions/vault functions/fraud functions/reconciliation functions/training; do \
	  $(BIN)/uv pip compile -q --python-version 3.13 --python-platform aarch64-manylinux_2_28 --generate-hashes \
	    --no-emit-package maxminddb --constraint requirements-dev.txt $$room/requirements.in -o $$room/requirements.txt || exit 1; done

clean: ## remove what setup and runs have made
	-$(BIN)/payments down
	-PAYMENTS_HOME=.local-test PAYMENTS_PORT_OFFSET=1000 $(BIN)/payments down
	-PAYMENTS_HOME=.local-bench PAYMENTS_PORT_OFFSET=2000 $(BIN)/payments down
	-PAYMENTS_HOME=.local-test-iam PAYMENTS_PORT_OFFSET=3000 $(BIN)/payments down
	-PAYMENTS_HOME=.local-test-losing PAYMENTS_PORT_OFFSET=5000 $(BIN)/payments down
	rm -rf $(VENV) node_modules .local .local-* build cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
