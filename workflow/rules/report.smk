# Tables.
rule table:
    input:
        summaries=lambda wildcards: sorted({summary_of(cell.run) for cell in STUDY.cells(wildcards.table)}),
    output:
        expand(str(ROOTS.results / "tables" / "{{table}}.{ending}"), ending=ENDINGS),
    wildcard_constraints:
        table="|".join(STUDY.table_names),
    log:
        log_of("table/{table}"),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=PRESET.resources.mem_mb,
        runtime=30,
    params:
        spec=table_spec,
        runs=str(ROOTS.results / "runs"),
        out=lambda wildcards, output: str(Path(output[0]).with_suffix("")),
        code=code_digest("fsar_core.cli.table"),
    shell:
        "python -m fsar_core table --name {wildcards.table} --spec {params.spec:q} --runs {params.runs:q}"
        " --out {params.out:q} > {log:q} 2>&1"


# table<n> is the table n of the paper that config.yaml calls primary.
rule primary_table:
    input:
        expand(str(ROOTS.results / "tables" / "{paper}_table{{number}}.{ending}"), paper=STUDY.config.paper, ending=ENDINGS),
    output:
        expand(str(ROOTS.results / "tables" / "table{{number}}.{ending}"), ending=ENDINGS),
    wildcard_constraints:
        number=r"\d+",
    log:
        log_of("primary_table/{number}"),
    conda:
        "../../envs/decode.yaml"
    shell:
        "cp -v -- {input[0]:q} {output[0]:q} > {log:q} && cp -v -- {input[1]:q} {output[1]:q} >> {log:q}"
        " && cp -v -- {input[2]:q} {output[2]:q} >> {log:q}"


rule tables:
    input:
        expand(str(ROOTS.results / "tables" / "{table}.csv"), table=STUDY.table_names),
