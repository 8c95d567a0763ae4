# Two commands on a fresh machine: `make demo` and `make test`. Both may be repeated.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test slow lint setup clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(READY)

setup: $(READY)

demo: $(READY)  ## the whole pipeline on the simulated shop
	$(BIN)/sidrec demo

test: $(READY)  ## default tests, doctests included
	$(BIN)/python -m pytest -n 2

slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
