# make run: a short experiment, in under three minutes.  make test: every test.  make coverage: what they reach.
# make docs: the site, in build/site.  Each installs what it needs first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TASKS ?= 100
SHORT = experiment=first_layer seed=0 dataset.tasks=$(TASKS) runs_dir=runs/short

.PHONY: run test coverage check docs dist

run: $(VENV)/installed
	@echo "A short version of the first-layer experiment: the base network, 7 replacement sets, $(TASKS) of 1,100 tasks,"
	@echo "one of 3 seeds. By then, loss of plasticity has only just begun. The full one takes 15 minutes on two cores:"
	@echo "    $(BIN)/python launch.py experiment=first_layer"
	$(BIN)/python launch.py $(SHORT)
	$(BIN)/python -m plasticity.analysis runs --runs runs/short
	$(BIN)/python -m plasticity.analysis report --runs runs/short --output runs/short.html

test: $(VENV)/installed
	@bash tests/install.sh
	$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: $(VENV)/installed
	@bash tests/install.sh
	@rm -rf build/coverage && mkdir -p build/coverage
	@echo "Counting lines while all tests run, which takes twice as long; log: build/coverage/tests.log"
	@# Counting slows commands beyond some tests' time limits, and processes that are killed leave broken counts.
	@-$(BIN)/python -m coverage run -m pytest $(PYTEST_ARGS) > build/coverage/tests.log 2>&1
	@-$(BIN)/python -m coverage combine -q 2> build/coverage/combine.log
	$(BIN)/python -m coverage report --skip-covered --sort=cover --fail-under=90

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed_docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

dist: $(VENV)/installed_docs
	$(BIN)/python -m build --quiet --outdir build/dist
	$(BIN)/python -m twine check --strict build/dist/*

$(VENV)/installed_docs: $(VENV)/installed
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable ".[docs]"
	@touch $@

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable ".[test]"
	@touch $@
