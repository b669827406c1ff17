# From a fresh clone: `make demo` shows it working, `make test` proves it. `make help` lists the rest.
# Everything is built in our own virtual environment; a second run finds the stamp files and works offline.

VENV   ?= .venv
PYTHON ?=
ARGS   ?=
JUNIT  ?=

PY     := $(VENV)/bin/python
STAMPS := .stamps/$(notdir $(VENV))
# one lock for 3.11 and 3.12, one for 3.13 and later
LOCK    = locks/$$($(PY) -c 'import sys; print("py311" if sys.version_info < (3, 13) else "py313")')
PIP     = $(PY) -m pip --disable-pip-version-check --no-input
PYTEST  = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pytest
# a file on each processor; a file's tests follow each other, since they share rigs
BESIDE  := -n auto --dist loadfile
SOURCES := $(shell find cython_core drivers controller config -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
PACKAGES := cython_core drivers controller config
GATES   := tests/test_layers.py tests/test_records_mirror.py tests/test_hot_path.py tests/test_docs.py

.DEFAULT_GOAL := help
.PHONY: help demo test check system nightly arm64 mutants coverage conformance bench unit build format deps-system lock install
.PHONY: uninstall release clean
.DELETE_ON_ERROR:

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z0-9-]*\):.*## /  make \1   /p' $(firstword $(MAKEFILE_LIST))

demo: $(STAMPS)/built  ## simulated grid, meter and inverter; the real controller; a report (ARGS="--fault droop_sign")
	@$(VENV)/bin/v2g demo $(ARGS)

test: $(STAMPS)/dev $(STAMPS)/built  ## the suite: virtual time and loopback, no servers (6 min at most; ARGS="-k droop")
	@$(PYTEST) $(BESIDE) -m "not system and not nightly" $(ARGS)

check: $(STAMPS)/dev $(STAMPS)/built  ## linters, types, the shape of the project (2 min at most)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	PATH="$(VENV)/bin:$$PATH" $(VENV)/bin/cython-lint $(PACKAGES) tests
	$(PY) -m mypy $(PACKAGES) tests
	@$(PYTEST) $(GATES)

system: $(STAMPS)/dev $(STAMPS)/built  ## tests with real brokers, databases, a browser (tools: make deps-system)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m tests.system $(ARGS)

nightly: $(STAMPS)/dev $(STAMPS)/built  ## the long ones (3 h at most)
	@$(PYTEST) -m nightly $(ARGS)

arm64: $(STAMPS)/dev $(STAMPS)/built  ## part of nightly: built and tested for arm64 under qemu; journals across (an hour)
	@$(PYTEST) -m nightly tests/nightly/test_arm64.py $(ARGS)

mutants: $(STAMPS)/dev $(STAMPS)/built  ## small faults in the compiled step: do the tests see them? (half an hour)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m tests.mutants $(ARGS)

coverage: $(STAMPS)/dev $(STAMPS)/run  ## lines of the compiled step that no test runs (some minutes)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m tests.coverage $(ARGS)

conformance: $(STAMPS)/dev $(STAMPS)/built  ## every procedure of IEEE 1547.1 in virtual time, and its page (3 min)
	@$(PY) -m tests.conformance $(ARGS)

bench: $(STAMPS)/dev $(STAMPS)/built  ## every ratio to its peer, gated (10 min; ARGS="--quick --only rss --json FILE --plots FOLDER")
	@$(PY) -m tests.performance $(ARGS)

unit: $(STAMPS)/dev $(STAMPS)/built  ## the fast core tests only
	@$(PYTEST) $(BESIDE) tests/cython_core -m "not system and not nightly" $(ARGS)

build: $(STAMPS)/built  ## the compiled core, in place

format: $(STAMPS)/dev  ## rewrite Python sources in the house layout
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

deps-system:  ## install the tools of `make system` and `make arm64` (lists, asks; YES=1 does not ask; leaves no service running)
	@.ci/deps-system

lock:  ## renew the lock files (PYTHONS="python3.11 python3.13"; needs the network)
	@for python in $(or $(PYTHONS),python3.11 python3.13); do .ci/lock $$python || exit 1; done

install:  ## as root: services on this machine, in shadow mode; again: an upgrade (PREFIX= DESTDIR= WHEEL=; systemd/README.md)
	@systemd/install install

uninstall:  ## as root: remove program and services; site files, journal and outbox stay
	@systemd/install uninstall

release: $(STAMPS)/dev $(STAMPS)/built  ## dist/: sdist, wheel, SBOM, changelog section, checksums; from a clean tree with its tag
	@$(PY) .ci/release.py $(ARGS)

clean:  ## remove what was built and installed here
	rm -rf .venv .venv-* .stamps build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(PACKAGES) tests -name '*.so' -delete -o -name __pycache__ -prune -exec rm -rf {} +

# --- how it gets there: each stamp stands for one finished step ---

$(VENV)/pyvenv.cfg:
	@.ci/setup "$(VENV)" "$(PYTHON)"

$(STAMPS)/run: $(VENV)/pyvenv.cfg $(wildcard locks/*.txt)
	@mkdir -p $(STAMPS)
	@echo "setup: installing locked packages (about a minute, once)"
	@$(PIP) install --quiet --no-compile --require-hashes -r $(LOCK).txt
	@touch $@

$(STAMPS)/dev: $(STAMPS)/run
	@echo "setup: installing test and lint tools (once)"
	@$(PIP) install --quiet --no-compile --require-hashes -r $(LOCK)-dev.txt
	@touch $@

# --no-index: the build requirements are in the environment already, so this works offline
$(STAMPS)/package: $(STAMPS)/run pyproject.toml setup.py
	@echo "setup: compiling the core"
	@$(PY) setup.py --quiet build_ext --inplace --parallel 2
	@$(PIP) install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/built: $(STAMPS)/package $(SOURCES)
	@$(PY) setup.py --quiet build_ext --inplace --parallel 2
	@touch $@
