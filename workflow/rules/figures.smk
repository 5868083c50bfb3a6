# Figures.
rule figure:
    input:
        summaries=lambda wildcards: sorted({summary_of(point.run) for point in STUDY.points(wildcards.figure)}),
    output:
        expand(str(ROOTS.results / "figures" / "{{figure}}.{ending}"), ending=("png", "pdf", "csv")),
    log:
        log_of("figure/{figure}"),
    wildcard_constraints:
        figure="|".join(STUDY.figure_names),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=PRESET.resources.mem_mb,
        runtime=30,
    params:
        spec=figure_spec,
        runs=str(ROOTS.results / "runs"),
        out=lambda wildcards, output: str(Path(output[0]).with_suffix("")),
        code=code_digest("fsar_core.cli.figure"),
    shell:
        "python -m fsar_core figure --name {wildcards.figure} --spec {params.spec:q} --runs {params.runs:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule figures:
    input:
        expand(str(ROOTS.results / "figures" / "{figure}.png"), figure=STUDY.figure_names),
