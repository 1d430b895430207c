# `make demo` and `make test` set everything up by themselves: a virtual environment in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12)
VENV ?= .venv
PY := $(VENV)/bin/python
WORKERS ?= 2
PYTEST := $(PY) -m pytest -n $(WORKERS) --ignore=tests/benchmarks
CONSTRAINTS ?= constraints.txt
export HF_HUB_OFFLINE := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: demo test test-slow lint bench gpu install clean

demo: install
	$(PY) -m jobs.release configs/demo.yaml

test: install
	$(PYTEST) -m "not slow and not gpu"

test-slow: install
	$(PYTEST) -m "slow and not gpu"

bench: install
	$(PY) -m pytest tests/benchmarks -q -s

gpu: install  # on a machine with a GPU; the JSON belongs into tests/benchmarks/results
	$(PY) -m pytest -m gpu tests/gpu
	$(PY) -m tests.benchmarks.gpu --out gpu.json

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -c $(CONSTRAINTS) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
