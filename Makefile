# `make` lists the targets. PYTHON chooses the interpreter that .venv is made from: make test PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(wildcard shmctx/hot/core/*.[ch])

# Three steps, each repeated only when what it is made from changes: the environment, the extension, the peers of bench.
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built
PEERS := $(VENV)/.peers

.DEFAULT_GOAL := help
.PHONY: help run test check bench torture demo browser screenshots clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(BUILT) ## build, install, start the daemon; Ctrl-C stops it
	@scripts/foreground $(BIN)/shmctx daemon

test: $(BUILT) ## the tests (some minutes)
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(PYTEST_ARGS)

check: $(BUILT) ## ruff, mypy --strict, the C core with every warning an error
	$(BIN)/ruff check .
	$(BIN)/mypy --strict shmctx
	build=$$(mktemp -d) && trap 'rm -rf "$$build"' EXIT && \
	SHMCTX_WERROR=1 $(BIN)/python setup.py --quiet build_ext --force --build-lib "$$build" --build-temp "$$build"

bench: $(BUILT) $(PEERS) ## the figures, each beside its peer (some minutes)
	$(BIN)/python -m bench $(BENCH_ARGS)

torture: $(BUILT) ## the long campaigns of kills and damage (hours)
	SHMCTX_TORTURE=1 $(BIN)/python -m pytest tests/crash tests/core tests/kill -s --timeout=0 $(PYTEST_ARGS)

demo: $(BUILT) ## agents, kills, a failover and a recovery on a real event log (under a minute)
	$(BIN)/python -m bench.demo

browser: ## install Chromium, for the tests of the explorer page
	scripts/install-system-packages browser

screenshots: $(BUILT) ## docs/screenshots anew, from a store with something to see
	$(BIN)/python -m bench.screenshots

clean: ## remove what was built; var/ with its databases stays
	rm -rf $(VENV) build *.egg-info shmctx/hot/_core.*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml scripts/check-toolchain
	@scripts/check-toolchain $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv --upgrade-deps $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	@touch $@

# Needs no network: an edit in the core must not depend on a package index.
$(BUILT): $(INSTALLED) setup.py $(CORE)
	@scripts/check-toolchain $(BIN)/python
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(PEERS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@
