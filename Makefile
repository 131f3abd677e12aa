# Two commands for a newcomer: make demo, make test. Each makes .venv and brings what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
INTEROP := .venv-interop
UV := $(BIN)/uv
MINUTES ?= 10
# The browser tests run where Chromium is installed, and in CI.
BROWSER := $(if $(CI),yes,$(shell command -v chromedriver 2>/dev/null))
# The floor of branch coverage (pyproject.toml) is for the whole suite, not for a part of it.
COVERAGE := $(if $(ARGS),,--cov --cov-report=)

.PHONY: help demo test run check lock lowest bench soak pace upgrade fuzz simulate interop recovery fields logos screenshots hooks clean

help:  ## show this list

	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/installed: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("kommo_bridge needs Python 3.11 or newer.") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the requirements into $(VENV) (a minute the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(VENV)/installed  ## a customer's conversation through the real bridge, with stand-ins for Kommo and the AI
	@$(BIN)/python -m local.demo

test: $(VENV)/installed  ## all tests and the branch coverage; ARGS="tests/kommo -k token" runs a part
ifeq ($(BROWSER),)
	@echo "No Chromium with chromedriver here: the browser tests are left out (.ci/install-browser brings one)."
endif
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(COVERAGE) $(if $(BROWSER),,-m "not browser") $(ARGS)

run: $(VENV)/installed  ## web and worker of the Procfile, for real use
	@$(BIN)/python -m local.run

check: $(VENV)/installed  ## everything that CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(UV)  ## renew requirements.txt and requirements-dev.txt from their .in files
	$(UV) pip compile $(LOCK) requirements.in --output-file requirements.txt
	$(UV) pip compile $(LOCK) --constraint requirements.txt requirements-dev.in --output-file requirements-dev.txt

# For every platform and for Python 3.11 and newer. pip is there already where it installs these.
LOCK := --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-strip-extras --no-emit-index-url \
	--no-emit-package pip --custom-compile-command "make lock"

lowest: $(UV)  ## the tests with the lowest versions that requirements.in allows
	$(UV) venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(UV) pip install --quiet --python $(LOWEST) --resolution lowest-direct -r requirements-dev.in
	$(LOWEST)/bin/python -m pytest -n 4 --dist worksteal $(if $(BROWSER),,-m "not browser") $(ARGS)

$(UV): | $(VENV)/installed
	@$(BIN)/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"

hooks: $(VENV)/installed  ## let git run ruff and mypy before each commit
	@$(BIN)/pip install --quiet --disable-pip-version-check "pre-commit>=4,<5"
	@$(BIN)/pre-commit install

bench: $(VENV)/installed  ## all benchmarks, about seven minutes: a table and instance/bench.json
	$(BIN)/python bench/run.py

pace: $(VENV)/installed  ## calls that arrive at Kommo in any second, 60 answers at once, ten runs
	$(BIN)/python bench/pace.py

recovery: $(VENV)/installed  ## seconds from kill -9 of a worker to the answer
	$(BIN)/python bench/recovery.py

soak: $(VENV)/installed  ## random faults under load; every promise kept, or it fails
	$(BIN)/python bench/soak.py --minutes $(MINUTES)

upgrade: $(VENV)/installed  ## every process restarted under load; 0 lost and 0 refused, or it fails
	$(BIN)/python bench/upgrade.py

interop: $(VENV)/installed $(INTEROP)/installed  ## the bridge against AI servers that others wrote: LiteLLM's proxy and LLMock
	@$(BIN)/python -m local.interop $(INTEROP)/bin

$(INTEROP)/installed:
	@$(PYTHON) -m venv $(INTEROP)
	@echo "Installing LiteLLM and LLMock into $(INTEROP) (minutes the first time)"
	@$(INTEROP)/bin/pip install --quiet --disable-pip-version-check "litellm[proxy]>=1.108,<2" "llmock>=0.2.2,<0.3"
	@touch $@

fuzz: $(VENV)/installed  ## the property tests with many examples
	FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest -n 2 -m hypothesis -q

simulate: $(VENV)/installed  ## SEEDS=n schedules of customers, partners and crashes; 0 broken rules, or it fails
	@PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(or $(SEEDS),20000)

mutants: $(VENV)/installed  ## does a test fail for each fault put in? ARGS="answers" runs a part, see docs/mutants.md
	$(BIN)/python bench/mutants.py $(ARGS)

fields: $(VENV)/installed  ## docs/fields.md, from the declarations of the fields
	$(BIN)/python -m kommo_bridge.integrations.fields_page > docs/fields.md

screenshots: $(VENV)/installed  ## write the pictures of docs/console.md anew; needs Chromium
	$(BIN)/python -m local.screenshots

logos: $(VENV)/installed  ## render the widget's pictures from its drawing
	$(BIN)/python widgets/source/render_logos.py

clean:  ## remove what the other targets made, but never instance/
	rm -rf $(VENV) $(LOWEST) $(INTEROP) .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
