# Everything runs in .venv, which is made from requirements.lock on the first call and reused after.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TESTS := $(VENV)/.tests
PEERS := $(VENV)/.peers
# Two spinning OpenMP threads on a busy core are hundreds of times slower than one: parallelism is by process.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: help install reproduce test slow lint docs bench clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP)  ## make .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "symscape needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	    rm -rf $(VENV); echo "python3 has no venv module; fetching virtualenv"; \
	    $(PYTHON) -m pip install --quiet --target .make/virtualenv virtualenv \
	    && PYTHONPATH=.make/virtualenv $(PYTHON) -m virtualenv --quiet $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

reproduce: $(STAMP)  ## run the thesis in profile quick and open-able report (about ten minutes)
	$(BIN)/symscape reproduce

$(TESTS): requirements-test.lock $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.lock \
	    || echo "Triton could not be installed: the tests of the GPU kernels will skip"
	@touch $@

test: $(TESTS) lint  ## style, types, import layers, then the test suite; ends with what was skipped and why
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(TESTS)  ## the tests that are too long for `make test`
	$(BIN)/python -m pytest -m slow -n 2

lint: $(STAMP)  ## ruff, mypy and the import-layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(STAMP)  ## build the site into site/, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

$(PEERS): requirements-peers.lock $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-peers.lock \
	    || echo "some peers could not be installed: their rows will say so"
	@touch $@

bench: $(PEERS)  ## every benchmark: medians, and ratios to the peer in the same run
	@for b in benchmarks/bench_*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

clean:  ## remove everything that was built
	rm -rf $(VENV) .make site build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
