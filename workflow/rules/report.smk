# Tables, and the pages of the report.


rule complexity:
    """Measures parameters, operations, memory and time of a table's rows. With as many threads as a small machine has
    cores, so that no other job runs beside it there and times are its own.
    """
    output:
        measured=str(ROOTS.results / "complexity" / "{table}.json"),
    log:
        log_of("complexity/{table}"),
    wildcard_constraints:
        table="|".join(GRAPH.of_kind("complexity")),
    conda:
        "../../envs/torch-gpu.yaml"
    threads: PRESET.resources.backbone_threads
    resources:
        gpu=GPUS,
        gpu_manufacturer=MAKER,
        mem_mb=memory(8000),
        runtime=60,
        device=PRESET.resources.device,
    params:
        spec=given("complexity", "spec"),
        code=code_of("complexity", "complexity"),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core complexity --spec {params.spec:q}"
        " --threads {threads} --device {resources.device} --out {output.measured:q} > {log:q} 2>&1"


rule table:
    """Writes a paper's table: measured numbers with their intervals, printed ones apart, and beside it the clips that
    could not be used.
    """
    input:
        summaries=needs("table", "summaries"),
        indices=needs("table", "indices"),
        complexity=needs("table", "complexity"),
        frames=needs("table", "frames"),
    output:
        expand(str(ROOTS.results / "tables" / "{{table}}.{ending}"), ending=("csv", "md", "tex")),
        page=report(
            str(ROOTS.results / "tables" / "{table}.html"),
            caption="../report/table.rst",
            category=paper_of("table"),
            subcategory="Tables",
            labels=title_of("table"),
        ),
        left_out=str(ROOTS.results / "tables" / "{table}.left_out.csv"),
    log:
        log_of("table/{table}"),
    wildcard_constraints:
        table="|".join(STUDY.table_names),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=30,
    params:
        spec=given("table", "spec"),
        runs=str(ROOTS.results / "runs"),
        out=lambda wildcards, output: str(Path(output[0]).with_suffix("")),
        code=code_digest("fsar_core.cli.jobs.table"),
    shell:
        "python -m fsar_core table --name {wildcards.table} --spec {params.spec:q} --runs {params.runs:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule primary_table:
    """Copies table n of the paper that config.yaml calls primary to table<n>."""
    input:
        csv=str(ROOTS.results / "tables" / f"{STUDY.config.paper}_table{{number}}.csv"),
        md=str(ROOTS.results / "tables" / f"{STUDY.config.paper}_table{{number}}.md"),
        tex=str(ROOTS.results / "tables" / f"{STUDY.config.paper}_table{{number}}.tex"),
    output:
        csv=str(ROOTS.results / "tables" / "table{number}.csv"),
        md=str(ROOTS.results / "tables" / "table{number}.md"),
        tex=str(ROOTS.results / "tables" / "table{number}.tex"),
    log:
        log_of("primary_table/{number}"),
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/decode.yaml"
    shell:
        "( cp -v -- {input.csv:q} {output.csv:q} && cp -v -- {input.md:q} {output.md:q}"
        " && cp -v -- {input.tex:q} {output.tex:q} ) > {log:q} 2>&1"


rule page:
    """Writes a page of a paper's report: what was run on which data, training curves, classes and confusions, the effects of
    modules, run times.
    """
    input:
        summaries=needs("page", "summaries"),
        trained=needs("page", "trained"),
        indices=needs("page", "indices"),
    output:
        page=report(
            str(ROOTS.results / "report" / "{paper}" / "{kind}.html"),
            caption="../report/page.rst",
            category=paper_of("page"),
            subcategory="How it came about",
            labels=title_of("page"),
        ),
    log:
        log_of("page/{paper}.{kind}"),
    wildcard_constraints:
        paper="|".join(GRAPH.of_kind("paper")),
        kind="|".join(sorted({page.spec.page for page in GRAPH.of_kind("page").values()})),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=60,
    params:
        spec=given("page", "spec"),
        code=code_digest("fsar_core.cli.jobs.page"),
    shell:
        "python -m fsar_core page --kind {wildcards.kind} --paper {wildcards.paper} --spec {params.spec:q}"
        " --out {output.page:q} > {log:q} 2>&1"


rule tables:
    """Every table of every paper."""
    input:
        every("table"),


# Papers by name, and their reports.
for PAPER in GRAPH.of_kind("paper"):

    rule:
        """Every table and figure of the paper."""
        name:
            PAPER
        input:
            files_of("paper", PAPER),
        localrule: True

    rule:
        """What `make report` shows of the paper."""
        name:
            f"report_{PAPER}"
        input:
            files_of("report", PAPER),
        localrule: True
