# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL ?= demo-model
PORT ?= 8000

.PHONY: help demo test lint lock clean
help:
	@echo "make demo [MODEL=…] [PORT=…]  run the demo experiment and serve the dashboard"
	@echo "make test [ARGS=…]            run the checks and all tests (ARGS go to pytest)"
	@echo "make lint                     ruff, mypy, import-linter, djade"
	@echo "make lock                     make the locks of the requirements anew"
	@echo "make clean                    remove the virtual environment and all data under var/"

demo: $(VENV)/runtime.stamp
	@exec $(BIN)/python -m rlm_runs.demo --model "$(MODEL)" --port "$(PORT)"

test: $(VENV)/dev.stamp lint
	@scripts/test-services
	@RLM_VAR_DIR=var/test $(BIN)/python -m pytest -p tests.embedded_postgres -n 2 $(ARGS)

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
