# The course kit's commands; `make` alone lists them. All of them run from the repository's root.

PYTHON ?= python3
VENV ?= .venv
EXTRAS := notebooks,app,dev,class,cluster,snippets

BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
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
.PHONY: help install run test lint pairs unit fast widgets nbval browser numbers processors portable robustness results colab colab-image notebooks assignments badges html app lab reproduce benchmark ranges system disk report-failure clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf 'make %-14s %s\n' "$$name" "$$text"; done

install: $(STAMP)  ## set up .venv with everything (PYTHON=python3.12 chooses another Python; OLDEST=1 the oldest versions supported)

# The stamp is written last: an installation that was interrupted is taken up again.
$(STAMP): pyproject.toml
	@test -e "$(PY)" || "$(PYTHON)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: $(PYTHON) is not a Python 3.11 or newer with venv (Debian: apt install python3-venv); choose another: make install PYTHON=python3.12" >&2; exit 1; }
	@test -e "$(PY)" || { rm -f "$(BIN)"/python*; "$(PYTHON)" -m venv "$(VENV)"; }
	@"$(PY)" -m pip --version >/dev/null 2>&1 || "$(PY)" -m ensurepip --upgrade
	"$(PY)" -m pip install --quiet --disable-pip-version-check uv
	"$(PY)" -m uv pip install --python "$(PY)" --compile-bytecode $(if $(OLDEST),--resolution lowest-direct) -e '.[$(EXTRAS)]'
	@"$(PY)" -m compileall -qq -j 0 "$(VENV)/lib" || true  # uv compiled what it installed now; an interruption may have left more
	@touch "$(STAMP)"

run: $(STAMP)  ## execute every notebook into build/, on the built-in data, and compare the headline numbers with their bands
	@$(if $(DENOISE_FULL),,CUDA_VISIBLE_DEVICES=) $(RUN) -m tools.notebooks run

# Files of tests are shared out among processes of one thread each; what a file sets up once stays in one process.
AT_ONCE ?= 2
SHARED := -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder
UNIT := tests --ignore=tests/browser --ignore=tests/robustness $(SHARED)

# Small parts that use one core each run beside each other; what each prints stays together where make can do that.
BESIDE := -j $(AT_ONCE) --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: $(STAMP)  ## everything CI checks: lint, pairs, widgets, unit, nbval, browser
	@summary=; status=0; \
	for part in "lint pairs widgets" unit nbval browser; do \
	  echo "=== make $$part"; begin=$$(date +%s); \
	  case $$part in *" "*) beside="$(BESIDE)";; *) beside=;; esac; \
	  if $(MAKE) --no-print-directory $$beside $$part; then word=ok; else word=FAILED; status=1; fi; \
	  summary="$$summary$$(printf '%-18s %-7s %5s s' "$$part" $$word $$(($$(date +%s) - begin)))|"; \
	done; \
	echo; echo "=== make test"; echo "$$summary" | tr '|' '\n'; exit $$status

lint: $(STAMP)  ## ruff, mypy, and the workflows' schema
	@status=0; "$(PY)" -m ruff check . || status=1; "$(PY)" -m mypy || status=1; \
	"$(PY)" -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml || status=1; exit $$status

pairs: $(STAMP)  ## every notebook and problem set equals its source
	@status=0; "$(PY)" -m tools.notebooks check || status=1; $(RUN) -m tools.assignments check || status=1; exit $$status

unit: $(STAMP)  ## the tests of library, tools and project, with coverage: the fast ones first (AT_ONCE=4: more at a time)
	@$(RUN) -m pytest $(UNIT) --cov --cov-report=term-missing:skip-covered

fast: $(STAMP)  ## those of the unit tests that take minutes together: all but the class, clusters and torchrun
	@$(RUN) -m pytest $(UNIT) -m 'not slow' --cov --cov-report= --cov-fail-under=0

numbers: $(STAMP)  ## those of the fast tests that compare numbers
	@$(RUN) -m pytest -q $(UNIT) -m 'numbers and not slow'

processors: $(STAMP)  ## nbval and the fast tests as older processors compute (ONLY=avx2: as one of them; PARTS="nbval numbers": less)
	@$(RUN) -m tools.processors $(ONLY) $(if $(PARTS),--parts $(PARTS))

# Other systems, other versions: not the instructor's tools, whose sandbox is Linux's, and not the browser.
portable: $(STAMP)  ## the tests of what students use, on any system
	@$(RUN) -m pytest -q tests --ignore=tests/browser --ignore=tests/robustness --ignore=tests/classroom

results: $(STAMP)  ## all of results/ again on a small budget, each number compared with its band (minutes)
	@$(SAME) $(RUN) -m tools.small_results

# The weekly workflow names the image's own Python; here a stand-in is made, with the image's versions.
COLAB ?= build/colab/bin/python
# Run and not looked up: a name may be there without its Python.
FIND_313 := for one in python3.13 "$$HOME"/.pyenv/versions/3.13*/bin/python; do "$$one" -c '' 2>/dev/null && echo "$$one" && break; done
build/colab/.installed: tools/colab_requirements.txt | $(STAMP)
	@rm -rf build/colab
	@found=$$($(FIND_313)); test -n "$$found" || { echo "error: Colab's Python is 3.13, and there is none here" >&2; exit 1; }; \
	  "$$found" -m venv --without-pip build/colab
	"$(PY)" -m uv pip install --python build/colab/bin/python --compile-bytecode -r tools/colab_requirements.txt
	@touch "$@"

colab: $(if $(filter file,$(origin COLAB)),build/colab/.installed)  ## the set-up cell, then nbval, in Colab's versions (COLAB=python3: in this Python)
	@"$(COLAB)" -m tools.colab

# Docker, and some 30 GB of disk.
IMAGE := us-docker.pkg.dev/colab-images/public/runtime
colab-image:  ## the same in Google's public image of Colab
	docker run --rm --volume "$(CURDIR):/course" --workdir /course --entrypoint make "$(IMAGE)" colab COLAB=python3

# Colab has ipywidgets 7: what it needs is put beside, not into, the environment, and found first.
WIDGETS := build/widgets7
$(WIDGETS)/.installed: Makefile
	@rm -rf "$(WIDGETS)"
	"$(PY)" -m uv pip install --quiet --python "$(PY)" --target "$(WIDGETS)" --compile-bytecode \
	  ipywidgets==7.7.1 ipython==7.34.0 ipykernel==6.17.1 traitlets==5.7.1
	@touch "$@"

widgets: $(STAMP) $(WIDGETS)/.installed  ## the explorers' tests again, with Colab's ipywidgets 7
	@PYTHONPATH="$(CURDIR)/$(WIDGETS)" $(RUN) -m pytest -q tests/display/test_sliders.py

nbval: $(STAMP)  ## execute every notebook and compare what it prints with what is stored
	@$(SAME) $(RUN) -m pytest $(SHARED) --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg \
	  --nbval-cell-timeout 600 --nbval-kernel-startup-timeout 180 notebooks/*.ipynb

robustness: $(STAMP)  ## notebooks without network, read-only, on a full disk, in 3 GB, twice, and killed (minutes; bubblewrap)
	@$(SAME) $(RUN) -m pytest tests/robustness

browser: $(STAMP)  ## notebooks, app and pages in a real browser (needs Chromium; leaves build/screenshots/)
	@$(SAME) $(RUN) -m pytest -n $(AT_ONCE) --dist loadgroup tests/browser

notebooks: $(STAMP)  ## bring notebooks/*.ipynb up to date with their sources (FORCE=1: execute all; ONLY=01_x: one)
	@$(SAME) $(RUN) -m tools.notebooks execute $(if $(FORCE),--force) $(ONLY)

assignments: $(STAMP)  ## release the problem sets from notebooks/assignments/src
	@$(RUN) -m tools.assignments make

badges:  ## point badges, links and set-up cells at a fork: make badges REPO=org/name
	@$(or $(wildcard $(PY)),$(PYTHON)) -m tools.badges "$(REPO)"

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
	@"$(PY)" -m benchmarks

ranges: $(STAMP)  ## measure the reference ranges of the notebooks' and the small budget's numbers again, over several seeds (half an hour)
	@$(SAME) $(RUN) -m tools.reference_ranges
	@$(SAME) $(RUN) -m tools.small_results --measure 3

# What the tests need beside Python, on Debian and Ubuntu; Ubuntu forbids ordinary users what the sandbox is made of.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APPARMOR := kernel.apparmor_restrict_unprivileged_userns
system:  ## install Chromium and bubblewrap where they are missing (Debian, Ubuntu)
	@command -v bwrap >/dev/null && { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium bubblewrap >/dev/null; }
	@if sysctl -n $(APPARMOR) >/dev/null 2>&1; then $(SUDO) sysctl -w $(APPARMOR)=0; fi

disk:  ## make room on a GitHub runner for Colab's image
	sudo rm -rf /usr/local/lib/android /usr/share/dotnet /opt/ghc /opt/hostedtoolcache/CodeQL /usr/local/share/boost
	df -h /

report-failure:  ## open an issue that names the failed run, or add to the one that is open (needs gh)
	@tools/report_failure

clean:  ## remove build/ and caches, not .venv
	rm -rf build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache notebooks/.ipynb_checkpoints
