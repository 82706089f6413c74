# make run    the sandbox, on http://127.0.0.1:8643
# make test   all tests          make lint   ruff, mypy, the layering rule, the workflows
# make test-fast   the tests of the rules, the service, the storages and the webhooks: seconds, no browser, no sandbox
# make soak   minutes of load: a hundred SIGKILLs, replicas that are killed, 100,000 calls, advances of the clock, and thousands of generated requests
# make image  the sandbox's image, build/image/mcn-mock.tar, built and tried without a container engine; part of make soak
# make bench  fifteen minutes beside other mocks, which it installs in build/bench: docs/explanation/performance.md
# make screenshots   the pictures in docs/images, anew
# make schemas   the schemas of the admin API, schemas/openapi.json and docs/fidelity.md, after a change of a field, a
#                schema, a route or docs/fidelity.toml
# make coverage   all tests again, slower: which branches they take; below 95 % is an error
# make dist   the wheel and the sdist, in dist; make sbom   what they need, in build/sbom.cdx.json
# make audit   known vulnerabilities of the packages in uv.lock, from a service on the network
# make docs   the documentation site, in build/docs; a warning or a dead link inside it is an error
# make lock   uv.lock, after a change of the dependencies in pyproject.toml; ARGS=--upgrade takes newer versions
# Each sets up what it needs, in .venv; PYTHON and VENV choose others. `make run` needs less than the others: unless .venv
# is there already, it installs the extra `sandbox` in .venv-run.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# Three tests at a time, because many of them wait; WORKERS=0 is one after the other.
WORKERS ?= 3
BIN := $(VENV)/bin
RUN_VENV := $(if $(wildcard $(VENV)/.ready),$(VENV),$(VENV)-run)
# Compile each module once, not in each of the hundreds of processes that tests start: a container may say otherwise.
export PYTHONDONTWRITEBYTECODE :=
# uv trusts the machine's certificates, as pip does: a proxy may have one of its own.
export UV_SYSTEM_CERTS := 1
# Debian's packages of the programs that tests drive. One that is missing is installed where make may do that; elsewhere
# its tests are skipped, and say so.
PROGRAMS := chromium curl default-jdk-headless fonts-dejavu-core golang-go nginx-light nodejs php-cli php-curl postgresql

# What builds the image needs root and takes room, so that only make soak and make image install it.
IMAGE_PROGRAMS := buildah debootstrap

.PHONY: run test test-fast soak image coverage bench lint format docs dist sbom audit lock screenshots schemas clean

run: $(RUN_VENV)/.ready
	$(RUN_VENV)/bin/mcn-mock serve $(ARGS)

test: $(VENV)/.ready $(VENV)/.programs $(VENV)/.node
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-fast: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/model tests/service tests/storage tests/delivery $(ARGS)

soak: $(VENV)/.ready $(VENV)/.programs $(VENV)/.image-programs
	$(BIN)/python -m pytest tests/soak tests/web -m soak -p no:randomly $(ARGS)

image: $(VENV)/.ready $(VENV)/.image-programs
	$(BIN)/python -m pytest -m soak -s tests/soak/test_image.py $(ARGS)

# Each process writes what it ran; the last command fails below the floor in pyproject.toml.
coverage: $(VENV)/.ready $(VENV)/.programs $(VENV)/.node
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

audit: $(VENV)/.ready
	mkdir -p build
	$(BIN)/uv export --quiet --locked --all-groups --all-extras --no-emit-project --output-file build/requirements.txt
	$(SYNC) --all-extras --inexact --group audit
	$(BIN)/pip-audit --requirement build/requirements.txt --disable-pip --require-hashes --progress-spinner off

dist: $(VENV)/.ready
	rm -rf dist
	$(BIN)/python -m build --outdir dist

sbom: $(VENV)/.ready
	mkdir -p build
	$(BIN)/uv export --quiet --locked --no-dev --all-extras --format cyclonedx1.5 --output-file build/sbom.cdx.json

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/measure.py $(ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml docs/examples/ci/github-actions.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.readthedocs .readthedocs.yaml
	$(BIN)/zizmor --offline --quiet .github

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	rm -rf build/docs
	$(BIN)/sphinx-build -b html -c docs --fresh-env --fail-on-warning --quiet --doctree-dir build/doctrees . build/docs
	$(BIN)/python tools/check_links.py build/docs
	@echo "build/docs/index.html"

# the versions in uv.lock: what pyproject.toml newly asks for, or with ARGS=--upgrade the newest of everything
lock: | $(BIN)/uv
	$(BIN)/uv lock $(ARGS)

# the schemas of the admin API, from web/admin_types.py; schemas/openapi.json, from the schemas beside it; and
# docs/fidelity.md, from docs/fidelity.toml
schemas: $(VENV)/.ready
	$(BIN)/python tools/make_schemas.py
	$(BIN)/python tools/make_openapi.py
	$(BIN)/python tools/make_fidelity.py

screenshots: $(VENV)/.ready $(VENV)/.programs
	MCN_MOCK_SCREENSHOTS=1 $(BIN)/python -m pytest -p no:randomly tests/web/page/test_screenshots.py

# Programs of Node: what checks the workflows, a second type checker, and what checks the page's accessibility. Without npm their tests are skipped, and say so.
$(VENV)/.node: tools/node/package-lock.json | $(VENV)/.ready
	@mkdir -p $(VENV)/node && cp tools/node/package.json tools/node/package-lock.json $(VENV)/node
	@npm ci --prefix $(VENV)/node --ignore-scripts --silent \
	  || echo "make: npm is missing, or reaches no registry: the tests that need it are going to be skipped" >&2
	@touch $@

$(VENV)/.docs: $(VENV)/.ready
	$(SYNC) --all-extras --inexact --group docs
	@touch $@

# Debian keeps venv in a package of its own.
define new_venv
@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -q && apt-get install -qy python3-venv; } \
  || { echo "make: $(PYTHON) has no venv; install it first: apt-get install python3-venv" >&2; exit 1; }
$(PYTHON) -m venv $(1)
endef

# The versions are those of uv.lock. UV_PROJECT_ENVIRONMENT is where uv installs, whichever environment is active.
SYNC := UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --locked --compile-bytecode

$(VENV)/.ready: pyproject.toml uv.lock | $(BIN)/uv
	$(SYNC) --all-extras
	@touch $@

$(BIN)/uv:
	$(call new_venv,$(VENV))
	$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.13'

$(VENV)-run/.ready: pyproject.toml
	$(call new_venv,$(VENV)-run)
	$(VENV)-run/bin/pip install --quiet --disable-pip-version-check --editable '.[sandbox]'
	@touch $@

$(VENV)/.programs: WANTED := $(PROGRAMS)
$(VENV)/.image-programs: WANTED := $(IMAGE_PROGRAMS)
$(VENV)/.programs $(VENV)/.image-programs: Makefile | $(VENV)/.ready
	@dpkg -s $(WANTED) >/dev/null 2>&1 \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -q \
	       && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(WANTED); } \
	  || echo "make: some tests are going to be skipped; for all of them: apt-get install $(WANTED)" >&2
	@touch $@

clean:
	rm -rf .venv .venv-run .venvs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
