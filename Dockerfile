# An image in which every job of the workflow runs: `docker build -t fsar .`; docs/clusters.md says for what.
# CUDA comes with torch's wheels; a GPU needs only the driver of its machine and `docker run --gpus all`.
FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc git libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/fsar
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY fsar_core fsar_core
# The project last, so that its `snakemake` front is the one that stays.
RUN pip install --no-cache-dir --editable ".[s3]" --constraint constraints.txt \
 && pip install --no-cache-dir --no-deps --force-reinstall --editable .
COPY Snakefile config.yaml ./
COPY workflow workflow
COPY profiles profiles
COPY envs envs
CMD ["snakemake", "--cores", "all", "results/tables/table2.csv"]
