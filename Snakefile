# What is made, and how: README.md. Rules say what, fsar_core knows how, config.yaml says where and how much.
import os

from snakemake.utils import min_version

min_version("9.20")


# Found wherever snakemake is started (--directory).
configfile: os.path.join(workflow.basedir, "config.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
# Its rules are taken over by other files, which are found by being there.
include: "workflow/rules/data.smk"


for RULES in sorted((WORKFLOW / "rules").glob("*.smk")):
    if RULES.name not in ("common.smk", "data.smk"):

        include: str(RULES)


localrules:
    all,
    index,
    frames,
    features,
    masks,
    saliency,
    episodes,
    heads,
    tables,
    figures,


onerror:
    forget(workflow.scheduler.failed, workflow.persistence)


rule all:
    """Every table of the primary paper."""
    default_target: True
    input:
        every("primary_table"),
