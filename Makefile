# Everything a contributor or a continuous-integration machine runs. The environment is .venv; nothing else is touched.
#   make demo             set up, import a real shop, train, evaluate, and serve the dashboard (DEMO_SERVE=0: stop before)
#   make test             unit, contract and documentation tests, and a tiny end-to-end run
#   make judge JUDGE_DIR=../shared/judge

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.setup-stamp
DEMO_DIR ?= demo-shop
DEMO_SERVE ?= 1
DEMO_ARGS ?=
TEST_ARGS ?=
JUDGE_DIR ?= ../shared/judge
JUDGE_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fix typecheck integration benchmark judge docs clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with the tested versions; does nothing when it is up to date

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Shoploom needs Python 3.11 or newer; name one: make setup PYTHON=python3.11" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || \
	  { echo "no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	$(PY) -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[demo,track,mtl,dev]"
	@touch $@

demo: setup ## the whole tour on The Complete Journey, then the dashboard
	$(VENV)/bin/shoploom demo --workspace $(DEMO_DIR) $(if $(filter 0 no false,$(DEMO_SERVE)),--no-serve) $(DEMO_ARGS)

test: setup ## unit, contract, doctests, a tiny end-to-end
	$(PY) -m pytest $(TEST_ARGS)

integration: setup ## the slow tests, on real data
	$(PY) -m pytest -m integration $(TEST_ARGS)

lint: setup ## ruff: rules and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

fix: setup ## ruff: mend what can be mended
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

typecheck: setup ## mypy --strict
	$(VENV)/bin/mypy

benchmark: setup ## speed and durability numbers, each beside a rival in the same run
	$(PY) -m benchmarks.eventlog
	$(VENV)/bin/shoploom demo --workspace $(DEMO_DIR) --no-serve
	$(PY) -m benchmarks.serving $(DEMO_DIR)
	$(PY) -m benchmarks.recommend_load $(DEMO_DIR)

judge: setup ## every judged task beside its rivals (JUDGE_ARGS="--seeds 0,1,2")
	$(PY) -m benchmarks.judge_all $(JUDGE_DIR) $(JUDGE_ARGS)

docs: setup ## check that the pages are complete and true: headings, links, examples
	$(PY) -m pytest tests/unit/test_docs.py README.md docs $(TEST_ARGS)

clean: ## remove the environment, caches and the demo's workspace
	rm -rf $(VENV) $(DEMO_DIR) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
