# The course kit's commands; `make` alone lists them. All of them run from the repository's root.

PYTHON ?= python3
VENV ?= .venv
EXTRAS := notebooks,app,dev,class,snippets

BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.installed

# Without bytecode every kernel would compile torch again as it starts: 20 s instead of 5.
export PYTHONDONTWRITEBYTECODE =
# The kernel is the virtual environment's own, and figures go into the notebook, whatever the user's settings say.
export JUPYTER_PREFER_ENV_PATH = 1
unexport MPLBACKEND

# Some tools call others by bare name (nbgrader calls alembic).
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" "$(PY)"
# One thread and no GPU, so that printed numbers are the same on every machine.
SAME := env -u DENOISE_FULL CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test lint pairs unit widgets nbval browser notebooks assignments html app lab reproduce benchmark bands clean

help:  ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf 'make %-11s %s\n' "$$name" "$$text"; done

install: $(STAMP)  ## set up .venv with everything (PYTHON=python3.12 chooses another Python)

# The stamp is written last: an installation that was interrupted is taken up again.
$(STAMP): pyproject.toml
	@test -e "$(PY)" || "$(PYTHON)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: $(PYTHON) is not a Python 3.11 or newer with venv (Debian: apt install python3-venv); choose another: make install PYTHON=python3.12" >&2; exit 1; }
	@test -e "$(PY)" || { rm -f "$(BIN)"/python*; "$(PYTHON)" -m venv "$(VENV)"; }
	@"$(PY)" -m pip --version >/dev/null 2>&1 || "$(PY)" -m ensurepip --upgrade
	"$(PY)" -m pip install --quiet --disable-pip-version-check uv
	"$(PY)" -m uv pip install --python "$(PY)" --compile-bytecode -e '.[$(EXTRAS)]'
	@"$(PY)" -m compileall -qq -j 0 "$(VENV)/lib" || true  # uv compiled what it installed now; an interruption may have left more
	@touch "$(STAMP)"

run: $(STAMP)  ## execute every notebook into build/, on the built-in data, and compare the headline numbers with their bands
	@$(if $(DENOISE_FULL),,CUDA_VISIBLE_DEVICES=) $(RUN) -m tools.notebooks run

test: $(STAMP)  ## everything CI checks: lint, pairs, unit, widgets, nbval, browser
	@summary=; status=0; \
	for part in lint pairs unit widgets nbval browser; do \
	  echo "=== make $$part"; begin=$$(date +%s); \
	  if $(MAKE) --no-print-directory $$part; then word=ok; else word=FAILED; status=1; fi; \
	  summary="$$summary$$(printf '%-7s %-7s %5s s' $$part $$word $$(($$(date +%s) - begin)))|"; \
	done; \
	echo; echo "=== make test"; echo "$$summary" | tr '|' '\n'; exit $$status

lint: $(STAMP)  ## ruff and mypy
	@status=0; "$(PY)" -m ruff check . || status=1; "$(PY)" -m mypy || status=1; exit $$status

pairs: $(STAMP)  ## every notebook and problem set equals its source
	@status=0; "$(PY)" -m tools.notebooks check || status=1; $(RUN) -m tools.assignments check || status=1; exit $$status

unit: $(STAMP)  ## the tests of library, tools and project, with coverage
	@$(RUN) -m pytest tests --ignore=tests/browser --cov --cov-report=term-missing:skip-covered

# Colab has ipywidgets 7: what it needs is put beside, not into, the environment, and found first.
WIDGETS := build/widgets7
$(WIDGETS)/.installed: Makefile
	@rm -rf "$(WIDGETS)"
	"$(PY)" -m uv pip install --quiet --python "$(PY)" --target "$(WIDGETS)" --compile-bytecode \
	  ipywidgets==7.7.1 ipython==7.34.0 ipykernel==6.17.1 traitlets==5.7.1
	@touch "$@"

widgets: $(STAMP) $(WIDGETS)/.installed  ## the explorers' tests again, with Colab's ipywidgets 7
	@PYTHONPATH="$(CURDIR)/$(WIDGETS)" $(RUN) -m pytest -q tests/test_explorers.py

nbval: $(STAMP)  ## execute every notebook and compare what it prints with what is stored
	@$(SAME) $(RUN) -m pytest --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg \
	  --nbval-cell-timeout 600 --nbval-kernel-startup-timeout 180 notebooks/*.ipynb

browser: $(STAMP)  ## notebooks, app and pages in a real browser (needs Chromium; leaves build/screenshots/)
	@$(SAME) $(RUN) -m pytest tests/browser

notebooks: $(STAMP)  ## bring notebooks/*.ipynb up to date with their sources (FORCE=1: execute all; ONLY=01_x: one)
	@$(SAME) $(RUN) -m tools.notebooks execute $(if $(FORCE),--force) $(ONLY)

assignments: $(STAMP)  ## release the problem sets from notebooks/assignments/src
	@$(RUN) -m tools.assignments make

html: $(STAMP)  ## notebooks as single-file pages whose sliders slide without kernel and network, into build/html/
	@$(RUN) -m tools.pages

app: $(STAMP)  ## all explorers on one page, for a projector
	@$(RUN) -m tools.app

# Jupyter is served from the root, where jupytext finds its settings: saving a notebook writes its source too.
lab: $(STAMP)  ## open JupyterLab on notebooks/
	@$(RUN) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks

reproduce: $(STAMP)  ## measure the papers' table again into results/ (hours on a CPU; it can be stopped and goes on)
	@"$(PY)" -m denoise_lib reproduce unet-vs-autoencoder

benchmark: $(STAMP)  ## measure speed, side by side with other libraries, into results/benchmark.json
	@"$(PY)" -m denoise_lib benchmark

bands: $(STAMP)  ## measure the bands of the notebooks' headline numbers again, over five seeds (minutes)
	@$(SAME) $(RUN) -m tools.bands

clean:  ## remove build/ and caches, not .venv
	rm -rf build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache notebooks/.ipynb_checkpoints
