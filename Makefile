# All set-up and every job, in a fresh clone: Python 3.11 or newer with venv and pip is all it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench bench-encoder clean

demo: .venv/installed  ## the main job: record, train, remember, imagine, evaluate, report
	$(BIN)/memworld demo

test: .venv/installed  ## all tests
	$(BIN)/pytest

check: .venv/installed  ## formatter, linter, type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/installed  ## how fast search and imagination are
	$(BIN)/memworld bench

bench-encoder: .venv/installed  ## how fast the encoder is
	$(BIN)/python benchmarks/encoder_speed.py

clean:  ## remove the environment
	rm -rf .venv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@
