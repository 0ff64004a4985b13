# From Rain to Watts. `make help` explains.
PYTHON ?= python3
BIN := .venv/bin
CHAPTERS ?= $(wildcard chapters/*.ipynb chapters/appendix/*.ipynb)

# Small tensors are slower on several threads than on one, and the tests already run side by side.
export OMP_NUM_THREADS := 1

.PHONY: help book test lint format execute check bench repo clean

help:
	@echo "make book      build the site from the stored outputs, warnings are errors"
	@echo "make test      every check: lint, unit tests, every chapter re-executed, the book itself"
	@echo "make execute   re-run chapters and store their outputs (CHAPTERS=... for some of them)"
	@echo "make format    format code and chapters; make lint only looks"
	@echo "make check     what to run before a commit: format, test, book"
	@echo "make bench     time hmmlib beside its peers, which it installs; some minutes"
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

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

execute: .venv/installed
	$(BIN)/jupyter execute --inplace --JupyterApp.log_level=ERROR $(CHAPTERS)
	$(BIN)/nbstripout --keep-output --keep-count \
		--extra-keys "metadata.language_info cell.metadata.execution" $(CHAPTERS)

check: format test book

bench: .venv/installed
	$(BIN)/pip install --quiet -r benchmarks/requirements.txt
	$(BIN)/pip install --quiet --no-deps pomegranate==1.1.2 apricot-select==0.6.1
	env -u OMP_NUM_THREADS $(BIN)/python benchmarks/peers.py

repo:
	$(PYTHON) _ext/repository.py $(URL)

clean:
	rm -rf .venv _build build hmmlib.egg-info

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "$$($(PYTHON) --version) is too old, needs 3.11: make PYTHON=python3.12 book"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@
