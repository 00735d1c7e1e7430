# Everything a fresh machine needs beyond Python 3.11+ and make is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pymilvus 2.x and 3.x cannot live in one environment.
PYMILVUS2_VENV := .venv-pymilvus2
# Clients of other languages that the tests run where npm is installed.
NODE_PACKAGES := '@grpc/grpc-js@^1.12' '@zilliz/milvus2-sdk-node@^2.6'
NODE_SETUP := build/node_modules/.ready
SETUP := $(VENV)/.ready
PYMILVUS2_SETUP := $(PYMILVUS2_VENV)/.ready
# The scripts of an environment name its path, so a checkout that was moved or copied needs new
# ones. Each stamp holds the path of the checkout that the environment was made in.
ifneq ($(shell cat $(SETUP) 2>/dev/null),$(CURDIR))
.PHONY: $(SETUP)
CLEAR := $(if $(wildcard $(SETUP)),--clear)
endif
ifneq ($(shell cat $(PYMILVUS2_SETUP) 2>/dev/null),$(CURDIR))
.PHONY: $(PYMILVUS2_SETUP)
PYMILVUS2_CLEAR := $(if $(wildcard $(PYMILVUS2_SETUP)),--clear)
endif
PIP_EDITABLE := $(BIN)/python -m pip install --quiet --editable
TESTS_SETUP := $(SETUP) $(PYMILVUS2_SETUP) $(NODE_SETUP)
# tests/conftest.py sets the number of workers, and which tests stay together.
BY_FILE := --dist loadfile --no-loadscope-reorder
PARALLEL := --numprocesses auto $(BY_FILE)
# Each of these tests runs several processes of its own; one worker waits for containers.
PARALLEL_LONG := --numprocesses 3 $(BY_FILE)
PARALLEL_ALONE := --numprocesses 2 $(BY_FILE)

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests run check test test-unit test-long test-alone coverage lint types fmt protos protos-check docs docs-check bench chaos soak fuzz compare-milvus load compile test-compiled image clean distclean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(SETUP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(if $(CLEAR),echo "$(VENV) was not made for this directory: making it again")
	@echo "Filling $(VENV), once; this takes a minute or two"
	$(PYTHON) -m venv $(CLEAR) $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(PIP_EDITABLE) '.[dev]'
	@pwd -P >$@

$(PYMILVUS2_SETUP): Makefile
	$(PYTHON) -m venv $(PYMILVUS2_CLEAR) $(PYMILVUS2_VENV)
	$(PYMILVUS2_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PYMILVUS2_VENV)/bin/python -m pip install --quiet 'pymilvus>=2.6,<3'
	@pwd -P >$@

$(NODE_SETUP): Makefile
	@mkdir -p $(@D)
	@{ npm install --prefix build --no-save --no-audit --no-fund --ignore-scripts --silent \
	  $(NODE_PACKAGES) && touch $@; } || echo "npm fails: the tests of Node.js clients are skipped"

setup: $(SETUP) ## Create the environment

setup-tests: $(TESTS_SETUP)

# An argument of the shell.
quoted = '$(subst ','\'',$(1))'

# A shell may have a DATA of its own; only one given to make counts.
run: $(SETUP) ## Start etcd, root coord, Milvus Lite and the proxy (TLS=1 encrypts, DATA=my.db serves it)
	@exec $(BIN)/python -m deploy.local $(if $(filter-out 0,$(TLS)),--tls) $(if $(and $(filter command,$(origin DATA)),$(DATA)),--backend-data $(call quoted,$(DATA))) $(RUN_ARGS)

check: protos-check docs-check lint types ## Everything that CI checks before the tests

test: $(TESTS_SETUP) ## Run every test but those of test-long and test-alone (PYTEST_ARGS adds options)
	$(BIN)/python -m pytest $(PARALLEL) -m 'not (long or alone or peer)' $(PYTEST_ARGS)

test-unit: $(SETUP) ## Run the tests that need no etcd, backend or proxy
	$(BIN)/python -m pytest $(PARALLEL) tests/unit $(PYTEST_ARGS)

test-long: $(TESTS_SETUP) ## Run the long tests: guards, containers, memory under attack, load, packages, arbitrary bytes
	$(BIN)/python -m pytest $(PARALLEL_LONG) -m long $(PYTEST_ARGS)

# Their rates and waits prove something only where no other tests run. The faults take longest, and
# leave enough of the machine to one more file.
test-alone: $(TESTS_SETUP) ## Run the tests that need the machine for themselves: faults, floods, soak
	$(BIN)/python -m pytest $(PARALLEL_ALONE) -m alone $(PYTEST_ARGS)

lint: $(SETUP) ## Check style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(SETUP) ## Check types strictly
	$(BIN)/mypy

fmt: $(SETUP) ## Format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(SETUP) ## Generate shared/vecguard/generated from protos/
	$(BIN)/python protos/generate.py shared/vecguard/generated

protos-check: $(SETUP) ## Fail when shared/vecguard/generated is stale
	$(BIN)/python protos/generate.py --check shared/vecguard/generated

docs: $(SETUP) ## Write the generated files of docs and the chart, and the site to build/site
	$(BIN)/python docs/generate_configuration.py
	$(BIN)/python -m deploy.helm
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

docs-check: $(SETUP) ## Fail when a generated file of docs or the chart is stale, or a link leads nowhere
	$(BIN)/python docs/generate_configuration.py --check
	$(BIN)/python -m deploy.helm --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir build/site-check

bench: $(SETUP) ## Measure; prints tables and writes build/bench.json
	$(BIN)/python -m tests.bench

# Logs and history of a failed run stay in build/chaos/.
CHAOS_CHANGES ?= 5000
chaos: $(SETUP) ## Change passwords and roles under continuous faults (CHAOS_CHANGES=5000), judge every call
	$(BIN)/python -m tests.chaos --changes $(CHAOS_CHANGES) $(CHAOS_ARGS)

SOAK_MINUTES ?= 10
soak: $(SETUP) ## Mixed traffic with restarts (SOAK_MINUTES=10): flat memory, every call accounted for
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES) $(SOAK_ARGS)

# Every shell sets USER; only one given to make counts.
load: $(SETUP) ## Load of logins on a stack of its own, or URL=host:port USER=... PASSWORD_FILE=... (LOAD_ARGS)
	$(BIN)/python -m tests.load $(if $(URL),--url $(call quoted,$(URL))) $(if $(and $(filter command,$(origin USER)),$(USER)),--user $(call quoted,$(USER))) $(if $(PASSWORD_FILE),--password-file $(call quoted,$(PASSWORD_FILE))) $(LOAD_ARGS)

compile: $(SETUP) ## The proxy's hot path as machine code in build/compiled (needs a C compiler)
	$(BIN)/python -m deploy.compile build/compiled

# The working directory goes before PYTHONPATH, so the tests stand beside the compiled tree.
test-compiled: compile ## The relay's tests on the compiled modules
	ln -sfn $(CURDIR)/tests build/compiled/tests
	ln -sfn $(CURDIR)/deploy build/compiled/deploy
	ln -sfn $(CURDIR)/docs build/compiled/docs
	cd build/compiled && $(CURDIR)/$(BIN)/python -m pytest --rootdir . tests/unit/services/proxy tests/integration/relay $(PYTEST_ARGS)

# Code that decides and does no I/O: every line and branch is tested, or says why not.
PURE_ROOMS := services/vecguard/proxy/http2/* services/vecguard/proxy/authentication/* \
  services/vecguard/proxy/authorization/* \
  services/vecguard/proxy/revocation/lease.py services/vecguard/root_coord/session_state.py
empty :=
comma := ,
coverage: $(SETUP) ## Measure what the unit tests run; fail where a pure room is not covered
	@mkdir -p build
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report= tests/unit $(PYTEST_ARGS)
	$(BIN)/coverage report
	$(BIN)/coverage report --include='$(subst $(empty) ,$(comma),$(PURE_ROOMS))' --fail-under=100

SECONDS ?= 60
CASES ?= 1000000
fuzz: $(SETUP) ## Arbitrary bytes for every parser (SECONDS=60 for each), and CASES of mutated requests
	$(PIP_EDITABLE) '.[fuzz]'
	$(BIN)/python -m tests.fuzz.mutated_requests --cases $(CASES)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(FUZZ_ARGS)

compare-milvus: $(SETUP) ## Roles of a real Milvus 2.3.5 and ours on one store: lists and decisions
	$(PIP_EDITABLE) '.[peers]'
	$(BIN)/python -m pytest -m peer tests/milvus_2_3_5 $(PYTEST_ARGS)

ENGINE ?= $(shell command -v docker >/dev/null && docker info >/dev/null 2>&1 && echo docker || echo podman)
IMAGE_PREFIX ?= vecguard-
IMAGE_TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BASE_IMAGE ?= python:3.11-slim
COMPILED ?= 1
EXTRAS ?= fast
image: ## Build the container images (ENGINE, IMAGE_PREFIX, IMAGE_TAG, BASE_IMAGE, COMPILED=0, EXTRAS)
	@set -e; for target in proxy root-coord cli milvus-lite; do \
	  $(ENGINE) build --file deploy/docker/Dockerfile --target $$target \
	    --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg COMPILED=$(COMPILED) \
	    --build-arg EXTRAS=$(EXTRAS) \
	    --label org.opencontainers.image.version=$(IMAGE_TAG) \
	    --label org.opencontainers.image.revision=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	    --label org.opencontainers.image.created=$$(date -u +%Y-%m-%dT%H:%M:%SZ) \
	    --tag $(IMAGE_PREFIX)$$target:$(IMAGE_TAG) $(IMAGE_ARGS) .; \
	done

clean: ## Remove environments, caches and what was built; keeps data/
	rm -rf $(VENV) $(PYMILVUS2_VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

distclean: clean ## The same, and data/: users, passwords and collections of `make run`
	rm -rf data
