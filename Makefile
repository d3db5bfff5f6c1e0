# Two commands for a newcomer: `make demo` and `make test`. Each makes .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check site reference clean

demo: .venv/demo.stamp
	$(BIN)/vlm3 demo -o vlm3-demo

# A process for every core, eight at most: each takes about 1 GB. JOBS=0 runs them in one.
JOBS ?= auto

test: .venv/test.stamp
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 --dist worksteal

# What .ci/run asks for beside the tests.
check: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[viz]'
	touch $@

.venv/test.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	touch $@ .venv/demo.stamp

# docs/reference/ from the help of every command and from docstrings; a test compares it.
reference: .venv/test.stamp
	$(BIN)/python docs/build_reference.py

# The documentation as a site in site/; broken links end it.
site: .venv/site.stamp
	$(BIN)/mkdocs build

.venv/site.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) 'mkdocs-material'
	touch $@

clean:
	rm -rf .venv vlm3-demo site
