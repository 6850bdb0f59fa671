# A thin front: every target does the set-up it needs (.venv, once). Python >= 3.11 and make are all a machine must have.
SHELL  := /bin/bash
SCALE  ?= smoke
NB     ?=
BIN    := .venv/bin
READY  := .venv/.ready
DOCS   := .venv/.docs
# Snakemake's jobs and nbdev find their tools by PATH
export PATH := $(CURDIR)/$(BIN):$(PATH)
# By uv where there is one; pip else, and where uv does not find what pip is set up to find. With a bar on a terminal,
# quietly elsewhere
install = quiet=; [ -t 1 ] || quiet=--quiet; \
	{ command -v uv >/dev/null && uv pip install $$quiet --python $(BIN)/python -c constraints.txt -e '.[$(1)]'; } || \
	$(BIN)/python -m pip install $$quiet --disable-pip-version-check -c constraints.txt -e '.[$(1)]'

help:           ## this list
	@grep -E '^[a-z-]+: .*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 24

setup: $(READY) ## .venv with the package, editable, and all it needs

$(READY): settings.ini setup.py pyproject.toml constraints.txt
	@py=; for p in python3.11 python3.12 python3.13 python3; do \
	  if command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then py=$$p; break; fi; done; \
	if [ -z "$$py" ]; then echo "needs Python 3.11 or newer (looked for python3.11, 3.12, 3.13, python3)" >&2; exit 1; fi; \
	echo "setup: .venv gets this package and all that it needs, PyTorch most of it: about 6.6 GB on the disk, some minutes"; \
	[ -x $(BIN)/python ] || { command -v uv >/dev/null && uv venv --quiet --seed --python $$py .venv; } || $$py -m venv .venv
	@$(call install,dev)
	@touch $@
	@echo "setup: done. Next: make paper"

$(DOCS): $(READY)
	@echo "setup: .venv gets what builds the site as well"
	@$(call install,docs)
	@touch $@

lint: $(READY)  ## the rules of lines and names in pyproject.toml, also in the notebooks
	@$(BIN)/python -m ruff check .

test: $(READY)  ## pytest, of which every notebook is a test
	@$(BIN)/python tools/test.py

coverage: $(READY) ## the same, and how much of the package it reaches: takes far longer
	@$(BIN)/python tools/test.py --cov --cov-report term

house: $(READY) ## docs/house.md: how the code reads, in numbers, beside that of others
	@$(BIN)/python tools/house.py

lowest:         ## pytest in a second environment (build/lowest, some GB) of exactly the lower bounds in settings.ini
	@$(or $(firstword $(wildcard $(BIN)/python)),python3) tools/lowest.py

tried: $(READY) ## what was tried and what it answered (tests/test_trust_*), as the page docs/tried.md
	@$(BIN)/pytest -q tests/test_trust_*.py
	@$(BIN)/python tools/tried.py

paper: $(READY) ## all results, tables and figures of SCALE (smoke), compared with the committed ones (VERBOSE=1: all words)
	@$(BIN)/python tools/paper.py $(SCALE)

rehearse: $(READY) ## the first batches of every stage of SCALE, and the hours that the whole would take here
	@$(BIN)/python tools/rehearse.py $(SCALE)

budget: $(READY) ## operations and launches of every stage of SCALE, and the minutes that a GPU whose rates are known would take
	@$(BIN)/python tools/rehearse.py $(SCALE) --count

verify: $(READY) ## evaluate the weights of record of SCALE on the real test set
	@$(BIN)/python tools/verify.py $(SCALE)

alone: $(READY) ## each notebook (or NB=04_gan) as the first thing run on a machine
	@$(BIN)/python tools/alone.py $(NB)

colab: $(READY) ## a page (NB=02_models) as Colab runs it: committed files, an environment that lacks this package
	@$(BIN)/python tools/colab.py $(NB)

slurm: $(READY)  ## a chain of seconds through profiles/slurm, on a Slurm cluster that it makes of this machine: wants root
	@tests/slurm.sh

shipped: $(READY) ## make the finished small stages in tests_data/ anew, and of them examples/digits.bundle
	@$(BIN)/python tools/shipped.py

outputs: $(READY) ## copy the outputs of the last smoke run into nbs/
	@$(BIN)/python tools/outputs.py

readme: $(READY) ## run nbs/index.ipynb and render it to README.md
	@$(BIN)/python tools/execute.py nbs/index.ipynb build/index/index.ipynb
	@$(BIN)/python tools/outputs.py build/index
	@$(BIN)/python tools/readme.py

site: $(DOCS)   ## the notebooks of the last `make paper`, an API reference and a gallery as a website in build/site/html
	@$(BIN)/python tools/site.py

browse: $(DOCS) ## read every page of the site in a headless Chromium
	@$(BIN)/python tools/browse.py

release: $(READY) ## archives of SCALE's bundles and exported students, with cards and checksums, in build/release
	@$(BIN)/python tools/release.py $(SCALE)

package: $(READY) ## sdist and wheel; README's commands and lines, run from the wheel in an empty folder
	@$(BIN)/python tools/package.py

links: $(READY) ## badges and clone lines from repo_url in settings.ini
	@$(BIN)/python tools/links.py

clean-check: $(READY) ## notebooks clean, modules in sync, nothing uncommitted in them
	$(BIN)/nbdev-clean && $(BIN)/nbdev-export
	git diff --exit-code -- nbs dfkd_nb
	test -z "$$(git status --porcelain -- nbs dfkd_nb)"

.PHONY: help setup house lint test coverage lowest tried paper rehearse budget verify alone colab slurm shipped outputs readme site browse release package links clean-check
.DEFAULT_GOAL := help
