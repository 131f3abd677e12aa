# Two commands for a newcomer: make demo, make test. Each makes .venv and brings what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINUTES ?= 10

.PHONY: demo test run check bench pace soak upgrade fuzz recovery logos clean

$(VENV)/installed: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("kommo_bridge needs Python 3.11 or newer.") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the requirements into $(VENV) (a minute the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(VENV)/installed  ## a customer's conversation, played through the real way
	@$(BIN)/python -m local.demo

test: $(VENV)/installed  ## all tests; those in a browser only where Chromium is installed, or in CI
	@if command -v chromedriver >/dev/null || [ -n "$$CI" ]; then \
	  $(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS); \
	else \
	  echo "No Chromium with chromedriver here: the browser tests are left out (.ci/install-browser brings one)."; \
	  $(BIN)/python -m pytest -n 4 --dist worksteal --ignore=tests/widget/test_widget_in_browser.py --ignore=tests/web/test_dashboard_in_browser.py $(ARGS); \
	fi

run: $(VENV)/installed  ## web and worker of the Procfile, for real use
	@$(BIN)/python -m local.run

check: $(VENV)/installed  ## what CI checks beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed  ## all benchmarks, about seven minutes: a table and instance/bench.json
	$(BIN)/python bench/run.py

pace: $(VENV)/installed  ## calls that arrive at Kommo in any second, 60 answers at once, ten runs
	$(BIN)/python bench/pace.py

recovery: $(VENV)/installed  ## seconds from kill -9 of a worker to the answer
	$(BIN)/python bench/recovery.py

soak: $(VENV)/installed  ## random faults under load; 0 lost and 0 doubled, or it fails
	$(BIN)/python bench/soak.py --minutes $(MINUTES)

upgrade: $(VENV)/installed  ## every process restarted under load; 0 lost and 0 refused, or it fails
	$(BIN)/python bench/upgrade.py

fuzz: $(VENV)/installed  ## the property tests with many examples
	FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest -n 2 -m hypothesis -q

logos: $(VENV)/installed  ## render the widget's pictures from its drawing
	$(BIN)/python widgets/source/render_logos.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
