# Everything a fresh machine with Python 3.11+, make and pip needs. Two commands matter: make run, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINUTES ?= 10

.PHONY: help run test browser spreadsheet soak leak-check check audit lint format reference lock prove bench bench-country bench-report compare clean
help:  ## Tell what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

# The locks are complete, so nothing is resolved anew (older pips cannot do that with hashes) and `pip check` proves it.
INSTALL := $(BIN)/pip install --quiet --no-deps

$(VENV)/run.stamp: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-build-isolation --editable .
	$(BIN)/pip check
	touch $@

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements-dev.lock
	$(INSTALL) --no-build-isolation --editable .
	$(BIN)/pip check
	touch $@

$(VENV)/bench.stamp: requirements-bench.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements-bench.lock
	$(INSTALL) --no-build-isolation --editable .
	$(BIN)/pip check
	touch $@

# The sample's configuration keeps everything beside itself; here the report goes to reports/ and the rest to var/.
SAMPLE := AFSTEM_STORE__URL=sqlite:///../var/afstem.db AFSTEM_PATHS__LANDING=../var/landing AFSTEM_PATHS__REPORTS=../reports

run: $(VENV)/run.stamp  ## Run the nightly flow over sample_data: SQLite, no server
	$(SAMPLE) $(BIN)/afstem reference load sample_data/reference --config sample_data/afstem.toml
	$(SAMPLE) PREFECT_HOME=$(CURDIR)/var/prefect $(BIN)/python flows/reconcile.py --config sample_data/afstem.toml --as-of 2026-11-23
	@echo "open reports/index.html"

test: browser  ## Run all tests, on all cores
	$(BIN)/python -m pytest -n auto

browser: $(VENV)/dev.stamp  ## Install the browser that the tests open the report in, if there is none (as root)
	$(BIN)/python tests/browser.py

spreadsheet: $(VENV)/dev.stamp  ## Install the spreadsheet that `make soak` opens receipts in, if there is none (as root)
	$(BIN)/python tests/spreadsheet.py

soak: browser spreadsheet  ## Inject the faults of docs/reliability.md, hundreds of times; takes long
	$(BIN)/python -m pytest -n auto -m soak $(OPTIONS)

leak-check: $(VENV)/dev.stamp  ## Make every function of every command fail in turn, and search all it leaves for secrets; takes long
	$(BIN)/python -m pytest -n auto -m "soak or not soak" tests/test_leak_search.py tests/faults/test_leaks.py $(OPTIONS)

check: lint audit  ## Everything that must be quiet before a commit lands

# In CI an audit that could not be made is a failure; on a machine without a network it is said.
audit: $(VENV)/dev.stamp  ## Ask whether a locked package is known to be vulnerable
	$(BIN)/python .ci/audit.py requirements-dev.lock $(if $(CI),,--or-say-so)

lint: $(VENV)/dev.stamp  ## Style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

prove: $(VENV)/dev.stamp  ## Compare the fast path with the libraries, on all cores, for MINUTES (10)
	$(BIN)/python benchmarks/prove.py --minutes $(MINUTES)

format: $(VENV)/dev.stamp  ## Put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(VENV)/dev.stamp  ## Write docs/reference.md anew from the code
	$(BIN)/python tests/reference_page.py

lock: $(VENV)/dev.stamp  ## Resolve the three locks anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --extra sources --extra dask --group build --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --extra sources --extra dask --group dev --output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --constraints requirements-dev.lock pyproject.toml --extra sources --extra dask --group bench --output-file requirements-bench.lock

bench: $(VENV)/bench.stamp  ## Measure beside what others use, write benchmarks/RESULTS.md (OPTIONS="--records 100000": smaller)
	$(BIN)/python -m benchmarks $(OPTIONS)

bench-country: $(VENV)/bench.stamp  ## The same for 18 million records of 200 actors; takes long
	$(BIN)/python -m benchmarks --only country $(OPTIONS)

bench-report: $(VENV)/dev.stamp  ## What the first page takes: 3 million findings, 200 actors, a year of runs
	$(BIN)/python -m benchmarks.report $(OPTIONS)

compare: $(VENV)/bench.stamp  ## Measure two commits beside each other: make compare A=HEAD~1 B=HEAD
	$(BIN)/python -m benchmarks.compare $(A) $(B) $(OPTIONS)

clean:  ## Remove what runs on sample_data left behind
	rm -rf var reports/[0-9]* reports/*.html
