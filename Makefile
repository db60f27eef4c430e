# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL ?= demo-model
PORT ?= 8000
# Many tests wait for processes: one more runs at once than a small machine has cores.
JOBS ?= 3

.PHONY: help demo test check bench chaos lint lock clean
help:
	@echo "make demo [MODEL=…] [PORT=…]  run the demo experiment and serve the dashboard"
	@echo "make test [ARGS=…]            run the checks and all tests (ARGS go to pytest)"
	@echo "make check                    lint and the fast tests: no Docker, browser or process, under a minute"
	@echo "make bench                    every benchmark, quickly, each beside its floor or peer"
	@echo "make chaos [MINUTES=…] [SEED=…] [SANDBOX=docker]  break random parts of a system under load, and check it"
	@echo "make lint                     ruff, mypy, import-linter, djade"
	@echo "make lock                     make the locks of the requirements anew"
	@echo "make clean                    remove the virtual environment and all data under var/"

demo: $(VENV)/runtime.stamp
	@exec $(BIN)/python -m rlm_runs.demo --model "$(MODEL)" --port "$(PORT)"

test: $(VENV)/dev.stamp lint
	@scripts/test-services
	@RLM_VAR_DIR=var/test $(BIN)/python -m pytest -p tests.embedded_postgres -n $(JOBS) --dist worksteal $(ARGS)

FAST := tests/analysis/statistics tests/analysis/filters tests/formats tests/models tests/engine/scaffolds \
	tests/dashboard/charts tests/dashboard/test_formatting.py tests/dashboard/test_text_diff.py tests/experiments/test_spec.py \
	tests/test_docs.py
SLOW := tests/analysis/filters/test_search.py tests/analysis/filters/test_hints.py

check: $(VENV)/dev.stamp lint
	@RLM_VAR_DIR=var/test $(BIN)/python -m pytest -p tests.embedded_postgres -n 2 -q $(FAST) $(SLOW:%=--ignore=%) $(ARGS)

bench: $(VENV)/dev.stamp
	$(BIN)/python -m bench.statistics --quick
	$(BIN)/python -m bench.early_stopping --quick
	$(BIN)/python -m bench.sandbox --quick
	$(BIN)/python -m bench.in_flight --rollouts 600 --slots 300
	$(BIN)/python -m bench.in_flight --sandbox docker --rollouts 60 --slots 40
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.rollouts --rollouts 40
	$(BIN)/python -m bench.pages --rollouts 20000 --requests 10
	$(BIN)/python -m bench.following --rollouts 20000 --changes 5
	$(BIN)/python -m bench.model_calls --conversations 5

MINUTES ?= 5
SANDBOX ?= process
chaos: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.faults.chaos --minutes $(MINUTES) --sandbox $(SANDBOX) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djade --check --target-version 5.2 $$(git ls-files '*.html')

lock: $(VENV)/dev.stamp
	scripts/lock $(BIN)

clean:
	rm -rf $(VENV) var

$(VENV)/runtime.stamp: requirements.txt
	@scripts/make-venv $(PYTHON) $(VENV) requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt
	@scripts/make-venv $(PYTHON) $(VENV) requirements-dev.txt
	@touch $@ $(VENV)/runtime.stamp
