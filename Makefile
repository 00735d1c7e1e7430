# Everything a fresh machine needs beyond Python 3.11+ and make is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pymilvus 2.x and 3.x cannot live in one environment.
PYMILVUS2_VENV := .venv-pymilvus2
SETUP := $(VENV)/.ready
PYMILVUS2_SETUP := $(PYMILVUS2_VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test lint types fmt protos protos-check docs docs-check bench chaos clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(SETUP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(PYMILVUS2_SETUP): Makefile
	$(PYTHON) -m venv $(PYMILVUS2_VENV)
	$(PYMILVUS2_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PYMILVUS2_VENV)/bin/python -m pip install --quiet 'pymilvus>=2.6,<3'
	@touch $@

setup: $(SETUP) ## Create the environment

run: $(SETUP) ## Start etcd, root coord, Milvus Lite and the proxy; Ctrl-C stops all (TLS=1 encrypts)
	@exec $(BIN)/python -m deploy.local $(if $(filter-out 0,$(TLS)),--tls) $(RUN_ARGS)

test: $(SETUP) $(PYMILVUS2_SETUP) ## Run every test (PYTEST_ARGS adds options)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(SETUP) ## Check style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(SETUP) ## Check types strictly
	$(BIN)/mypy

fmt: $(SETUP) ## Format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(SETUP) ## Generate shared/generated from protos/
	$(BIN)/python protos/generate.py shared/generated

protos-check: $(SETUP) ## Fail when shared/generated is stale
	$(BIN)/python protos/generate.py --check shared/generated

docs: $(SETUP) ## Generate docs/configuration.md from the settings
	$(BIN)/python docs/generate_configuration.py

docs-check: $(SETUP) ## Fail when docs/configuration.md is stale
	$(BIN)/python docs/generate_configuration.py --check

bench: $(SETUP) ## Measure; prints tables and writes build/bench.json
	$(BIN)/python -m tests.bench

# Logs and history of a failed run stay in build/chaos/.
CHAOS_CHANGES ?= 5000
chaos: $(SETUP) ## Change passwords under continuous faults (CHAOS_CHANGES=5000) and judge every login
	$(BIN)/python -m tests.chaos --changes $(CHAOS_CHANGES) $(CHAOS_ARGS)

clean: ## Remove environments, caches and local data
	rm -rf $(VENV) $(PYMILVUS2_VENV) build data .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
