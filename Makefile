# From Rain to Watts. `make help` explains.
PYTHON ?= python3
BIN := .venv/bin
OF ?= hmmlib.recursion*
ROUNDS ?= 20
SINCE ?= HEAD
WALK ?= colab install binder
CHAPTERS ?= $(wildcard chapters/*.ipynb chapters/appendix/*.ipynb)

# Small tensors are slower on several threads than on one, and the tests already run side by side.
export OMP_NUM_THREADS := 1

.PHONY: help book test lint format execute check journeys fuzz mutants links lock unlocked bench faster busy alone repo clean

help:
	@echo "make book      build the site from the stored outputs, warnings are errors"
	@echo "make test      every check: lint, unit tests, every chapter re-executed, the book itself"
	@echo "               (after make book, SITE=_build/html make test does not build it again)"
	@echo "make execute   re-run chapters and store their outputs (CHAPTERS=... for some of them)"
	@echo "make format    format code and chapters; make lint only looks"
	@echo "make check     what to run before a commit: format, test, book"
	@echo "make journeys  Colab, Binder and installing, each from an empty folder; minutes (WALK=colab for one,"
	@echo "               WALK='oldest newest' for the versions that once a week are enough)"
	@echo "make fuzz      the property tests with other random input each time (ROUNDS=20)"
	@echo "make mutants   break the library in small ways and see whether its tests notice (OF='hmmlib.hmm*')"
	@echo "make links     ask every address in the built book whether it is still there; once a week"
	@echo "make lock      write requirements.lock from requirements.txt (UPGRADE=--upgrade for all that is newer)"
	@echo "make unlocked  an environment with the newest of everything in place of the locked one"
	@echo "make bench     time hmmlib beside its peers, which it installs; some minutes"
	@echo "make faster    is this tree faster or slower than a commit? A minute (SINCE=HEAD~3)"
	@echo "make busy      how much slower hmmlib is beside busy processes than a plain loop"
	@echo "make alone     run what chapters offer for copying, without hmmlib, and note it for the site"
	@echo "make repo      put the repository's address everywhere: make repo URL=https://github.com/OWNER/NAME"
	@echo "make clean     remove the environment and all that was built"

book: .venv/installed
	rm -rf _build
	$(BIN)/jupyter-book build . --all -n -W --keep-going
	@echo
	@$(BIN)/python -c "from pathlib import Path; print('The book is built. Open', Path('_build/html/index.html').resolve().as_uri())"

test: .venv/installed lint
	$(BIN)/python -m pytest -n auto

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

execute: .venv/installed
	$(BIN)/python scripts/execute.py $(CHAPTERS)
	$(BIN)/nbstripout --keep-output --keep-count \
		--extra-keys "metadata.language_info cell.metadata.execution" $(CHAPTERS)

check: format test book

journeys: .venv/installed
	$(BIN)/python -m pytest journeys -n 2 -v -rP -W default --durations=0 --durations-min=1 \
		-k "$(shell echo $(WALK) | sed 's/ / or /g')"

fuzz: .venv/installed
	for seed in $$(seq $(ROUNDS)); do HYPOTHESIS_PROFILE=fuzz \
		$(BIN)/python -m pytest tests -n auto -x -q -m hypothesis --hypothesis-seed=$$seed || exit 1; done

mutants: .venv/installed
	$(BIN)/mutmut run "$(OF)"
	$(BIN)/mutmut results

links:
	$(BIN)/lychee --no-progress --scheme https --exclude your_name_here --accept 200..=299,403,429 \
		--max-retries 3 --root-dir "$(CURDIR)/_build/html" "_build/html/**/*.html"

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-package torch $(UPGRADE) \
		--custom-compile-command "make lock (torch is left out: CPU and CUDA builds have other hashes)" \
		requirements.txt --output-file requirements.lock

bench: .venv/installed
	$(BIN)/pip install --quiet --editable ".[bench]"
	$(BIN)/pip install --quiet --no-deps pomegranate==1.1.2 apricot-select==0.6.1
	env -u OMP_NUM_THREADS $(BIN)/python benchmarks/peers.py

faster: .venv/installed
	env -u OMP_NUM_THREADS $(BIN)/python benchmarks/before_after.py $(SINCE)

busy: .venv/installed
	env -u OMP_NUM_THREADS $(BIN)/python benchmarks/busy.py

alone: book
	$(BIN)/python tests/runs_alone.py _build/html

repo:
	$(PYTHON) _ext/repository.py $(URL)

clean:
	rm -rf .venv _build build hmmlib.egg-info

.venv/installed: requirements.lock requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "$$($(PYTHON) --version) is too old, needs 3.11: make PYTHON=python3.12 book"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet -r requirements.txt # torch, whose hash depends on where it comes from
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

unlocked:
	$(PYTHON) -m venv --clear .venv
	sed -E 's/==[^ ;]+//; s/^jupyter-book/&<2/' requirements.txt > .venv/newest.txt
	$(BIN)/pip install --quiet -r .venv/newest.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch .venv/installed
