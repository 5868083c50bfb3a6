# `make table2` and `make test` do all the set-up themselves; nothing else is needed but Python >= 3.11, make, gcc and git.
VENV ?= .venv
PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

.PHONY: table2 report test test-slurm smoke faults bench lint docs dry-run set-up clean-set-up

table2: set-up
	snakemake --cores $(CORES) results/tables/table2.csv
	@cat results/tables/table2.md

# One HTML file that opens offline: every table and figure, and how they came about, of the papers named.
PAPERS ?= dmgal i2st sgtm
REPORT ?= results/report.html
report: set-up
	snakemake --cores $(CORES) -- $(addprefix report_,$(PAPERS))
	snakemake --report $(REPORT) --report-stylesheet workflow/report/style.css -- $(addprefix report_,$(PAPERS))

# A process per core; the tests of one file run in one process.
test: set-up
	python -m pytest -n $(CORES)

# The main job at toy size on a Slurm cluster of two nodes that comes up for it on this machine; needs Slurm's programs, no root.
test-slurm: set-up
	@python -m tests.slurm.cluster
	python -m pytest -m slurm tests/slurm

# The whole workflow at toy size, in a folder of its own: a table and every kind of figure.
SMOKE := snakemake --cores $(CORES) --directory results/smoke --configfile tests/workflow/smoke.yaml -- \
  results/tables/table2.csv $(addprefix results/figures/,$(addsuffix .png,dmgal_fig4 dmgal_fig5 dmgal_fig8 dmgal_fig9 i2st_fig6 i2st_masks))
smoke: set-up
	rm -rf results/smoke && mkdir -p results/smoke
	$(SMOKE)
	$(SMOKE) 2>&1 | tee results/smoke/second.log
	grep -q "Nothing to be done" results/smoke/second.log

# Breaks running and finished projects on purpose (docs/guarantees.md), prints a table of the outcomes and fails if one is wrong.
faults: set-up
	python -m pytest -m faults tests/faults

# Every figure of speed beside what it is compared with, in one table.
bench: set-up
	python -m pip install --quiet -e ".[bench]" -c constraints.txt
	python benchmarks/bench.py

# docs/ and workflow/schemas, made of the rules and the models.
docs: set-up
	fsar docs

# How long it takes to plan everything on the papers' five data sets, from nothing but their cards.
dry-run: set-up
	python benchmarks/dry_run.py --limit 60

lint: set-up
	ruff check fsar_core tests benchmarks
	ruff format --check fsar_core tests benchmarks
	lint-imports --no-cache
	snakefmt --check Snakefile workflow
	snakemake --lint

set-up: $(VENV)/.ready

# uv installs in seconds; where it cannot (a package index known to pip alone), pip does the same in minutes. The project
# itself comes last, so that its `snakemake` front is the one that stays.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
	  || { echo "fsar needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	( python -m pip install --quiet uv -c constraints.txt \
	  && python -m uv pip install --quiet --python $(BIN)/python --compile-bytecode -e ".[test]" -c constraints.txt ) \
	  || python -m pip install --quiet -e ".[test]" -c constraints.txt
	python -m pip install --quiet --no-deps --force-reinstall -e .
	touch $@

clean-set-up:
	rm -rf $(VENV)
