#!/bin/sh
# Run by snakemake inside the new environment: the package itself, where it lies, so that a change of it needs no new environment.
set -eu
python -m pip install --no-deps --no-build-isolation --editable "${FSAR_SOURCE:?is set by the Snakefile}"
