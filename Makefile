# The two commands of the README are `make demo` and `make test`; each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types docs smoke bench-smoke benchmark ibm clean

demo: .venv/package
	$(BIN)/credit-portfolio demo --out demo
	@echo "open demo/report.html in a browser"

# A file's tests stay together: some share a server.
test: .venv/test
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/lint
	$(BIN)/mypy

docs: .venv/docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html

smoke: .venv/package
	$(BIN)/python -m tests.smoke

# Each benchmark once, without timing; and our lead over Clarabel as ratios inside one run.
bench-smoke: .venv/test
	$(BIN)/python -m pytest benchmarks -q
	$(BIN)/python -m benchmarks.check_ratios

# The table of the main job, and the page docs/benchmarks.md: half an hour.
benchmark: .venv/bench
	$(BIN)/python -m benchmarks.main_job
	$(BIN)/python -m benchmarks.page

# Needs two public data sets in the folder DATA; docs/ibm.md names them.
DATA ?= ../shared/data
ibm: .venv/package
	$(BIN)/python examples/ibm_with_us_statements.py $(DATA) demo/ibm

.venv/package: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

.venv/test .venv/lint .venv/docs .venv/bench: .venv/%: .venv/package
	$(PIP) --editable '.[$*]'
	@touch $@

clean:
	rm -rf .venv demo docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
