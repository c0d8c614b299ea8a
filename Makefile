# make run: the main job, in under three minutes.  make test: every test.  Both install what they need first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TASKS ?= 8

.PHONY: run test check

run: $(VENV)/installed
	@echo "The base network, all layers replaced, for $(TASKS) tasks of 10,000 examples: about two minutes."
	@echo "The full run is: $(BIN)/python launch.py"
	$(BIN)/python launch.py dataset.tasks=$(TASKS)

test: $(VENV)/installed
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@
