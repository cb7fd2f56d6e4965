# Everything runs in .venv, created on first use from PYTHON (3.10 or newer).
PYTHON ?= python3
PYTEST_ARGS ?=

BIN := .venv/bin
READY := .venv/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# xdist already uses every processor; threads inside NumPy and torch would only compete.
test test-all clients: export OPENBLAS_NUM_THREADS := 1
clients: export OMP_NUM_THREADS := 1
CLIENT_TESTS := $(addprefix tests/nkimoe/,hf pytorch as_nkilib routing weights/test_against_transformers.py \
  cli/test_checkpoint.py) tests/repository/test_docs.py tests/website/test_examples.py

# What the site is built with is installed when it is first asked for.
SITE_READY = $(BIN)/python -c 'import material, mkdocs_jupyter, mkdocstrings_handlers.python' 2>/dev/null || \
  $(BIN)/python -m pip install --quiet --editable '.[docs]'
docs docs-build: export NO_MKDOCS_2_WARNING := 1
docs docs-build: export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
MINUTES ?= 60

.PHONY: clients docs docs-build foreign fuzz legacy legacy-pairs mutants fingerprints help setup demo test test-all conformance lint format check clean calibration

help: ## print this list
	@echo "usage: make TARGET [PYTHON=python3.12] [PYTEST_ARGS='-k name']"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile

setup: $(READY) ## create .venv with the package (editable) and the development tools
	@echo "==> ready: 'source .venv/bin/activate', then 'nkisim run -h' for your own kernel, or 'nkimoe demo'"

demo: $(READY) ## one real layer end to end: run, check against the reference, report
	$(BIN)/nkimoe demo

test: $(READY) ## all tests but the slow ones
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

test-all: $(READY) ## all tests, slow ones included
	$(BIN)/python -m pytest -n auto -m '' $(PYTEST_ARGS)

conformance: $(READY) ## public kernels on nkisim: NKILIB=<checkout> SAMPLES=<checkout> AITER=<checkout> [FAMILIES='moe_cte rope']
	@$(BIN)/python -c 'import scipy, torch' 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[torch]' scipy
	PYTHONPATH=tests $(BIN)/python -m conformance $(if $(NKILIB),--nkilib $(NKILIB)) $(if $(SAMPLES),--samples $(SAMPLES)) \
	  $(if $(AITER),--aiter $(AITER)) \
	  $(CONFORMANCE_ARGS) $(FAMILIES)

foreign: $(READY) ## public packages' tests, or CHECKOUTS=<folder>: kernels, on nkisim: [FOREIGN_ARGS='trnblas --target trn2']
	@$(BIN)/python -c 'import scipy, torch' 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[torch]' scipy
	PYTHONPATH=tests:simulate $(BIN)/python -m foreign $(if $(CHECKOUTS),--checkouts $(CHECKOUTS)) $(FOREIGN_ARGS)

fuzz: $(READY) ## random kernels, requests, damages and interrupts: [MINUTES=60] [FUZZ_ARGS='--seed 1 --kind kernels --case 7']
	PYTHONPATH=tests:simulate OPENBLAS_NUM_THREADS=1 $(BIN)/python -m fuzz --minutes $(MINUTES) $(FUZZ_ARGS)

legacy: $(READY) ## other people's kernels of the older NKI, below CHECKOUTS=folder, and docs/simulator/legacy.md
	PYTHONPATH=tests:simulate $(BIN)/python -m legacy $(CHECKOUTS) $(LEGACY_ARGS)

legacy-pairs: $(READY) ## kernels public in both dialects, below CHECKOUTS=folder: proved, mistakes planted, migration's advice
	PYTHONPATH=tests:simulate OPENBLAS_NUM_THREADS=1 $(BIN)/python -m legacy.equal $(CHECKOUTS)
	PYTHONPATH=tests:simulate OPENBLAS_NUM_THREADS=1 $(BIN)/python -m legacy.removed $(CHECKOUTS)

clients: $(READY) ## torch and Hugging Face: their tests, slow ones included, with every family of transformers
	@$(BIN)/python -c 'import torch, transformers, accelerate' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --editable '.[hf]' --constraint .ci/constraints.txt
	$(BIN)/python -m pytest -n auto -m '' $(CLIENT_TESTS) $(PYTEST_ARGS)

docs: $(READY) ## serve the documentation's site on this computer: [DOCS_ARGS='--dev-addr localhost:8001']
	@$(SITE_READY)
	$(BIN)/python -m mkdocs serve --no-strict $(DOCS_ARGS)

docs-build: $(READY) ## build the site into build/site, notebooks run; a warning or a broken link is an error
	@$(SITE_READY)
	$(BIN)/python -m mkdocs build --quiet

calibration: $(READY) ## predicted latencies beside published ones: [NKILIB=<checkout>] [CALIBRATION_ARGS='--only matmul']
	$(BIN)/python benchmarks/calibration.py $(if $(NKILIB),--nkilib $(NKILIB)) --page docs/simulator/calibration.md \
	  $(CALIBRATION_ARGS)

lint: $(READY) ## ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint ## lint, and the tests of the repository itself
	$(BIN)/python -m pytest tests/repository $(PYTEST_ARGS)

mutants: $(READY) ## plant known mistakes in the kernels and report what notices each
	$(BIN)/python tests/mutants/run.py

fingerprints: $(READY) ## what fixed calls give, to hold a change against: FINGERPRINTS='--write before.json' or '--against before.json'
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/fingerprints/run.py $(FINGERPRINTS)

clean: ## remove .venv, caches and build products
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo "error: no '$(PYTHON)' found: install Python 3.10 or newer, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 10) or sys.exit("error: $(PYTHON) is Python " + \
	  sys.version.split()[0] + ", 3.10 or newer is needed: make PYTHON=/path/to/python")'
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || \
	  { echo "==> creating .venv with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv --clear .venv; }
	@echo "==> installing nkimoe, nkisim and the development tools into .venv (about a minute)"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=22'
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@
