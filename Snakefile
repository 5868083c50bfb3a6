# What is made, and how: README.md. Rules say what, fsar_core knows how, config.yaml says where and how much.
import os

from snakemake.utils import min_version

min_version("9.20")


# Found wherever snakemake is started (--directory).
configfile: os.path.join(workflow.basedir, "config.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/masks.smk"
include: "workflow/rules/saliency.smk"
include: "workflow/rules/heads.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/figures.smk"


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
    dmgal,
    i2st,
    sgtm,
    report_dmgal,
    report_i2st,
    report_sgtm,
    figures,


onerror:
    forget(workflow.scheduler.failed)


rule all:
    """Every table of the primary paper."""
    default_target: True
    input:
        primary_tables(),
