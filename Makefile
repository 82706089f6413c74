# make run    the sandbox, on http://127.0.0.1:8643
# make test   all tests          make lint   ruff, mypy and the layering rule
# make soak   what takes minutes
# make schemas   schemas/openapi.json, after a change of a schema or a route
# Each sets up what it needs, in .venv; PYTHON and VENV choose others.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin

.PHONY: run test soak lint format schemas clean

run: $(VENV)/.ready
	$(BIN)/mcn-mock serve $(ARGS)

test: $(VENV)/.ready
	$(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/.ready
	$(BIN)/python -m pytest -m soak $(ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# schemas/openapi.json, from the schemas beside it
schemas: $(VENV)/.ready
	$(BIN)/python tools/make_openapi.py

# Debian keeps venv in a package of its own.
$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -q && apt-get install -qy python3-venv; } \
	  || { echo "make: $(PYTHON) has no venv; install it first: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .venvs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
