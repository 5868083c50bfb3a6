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
        table="|".join(name for name in STUDY.table_names if complexity_of(name)),
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
        spec=lambda wildcards: canonical_json(STUDY.table(wildcards.table).complexity()),
        code=lambda wildcards: code_digest("fsar_core.cli.jobs.complexity", *complexity_modules(wildcards.table)),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core complexity --spec {params.spec:q}"
        " --threads {threads} --device {resources.device} --out {output.measured:q} > {log:q} 2>&1"


rule table:
    """Writes a paper's table: measured numbers with their intervals, printed ones apart, and beside it the clips that
    could not be used.
    """
    input:
        summaries=lambda wildcards: sorted({summary_of(cell.run) for cell in STUDY.experiments.cells(wildcards.table)}),
        indices=lambda wildcards: [index_of(card) for card in cards_counted(wildcards.table)],
        complexity=lambda wildcards: complexity_of(wildcards.table),
        frames=lambda wildcards: [
            stored(f"{s}/manifest.json") for stores in frames_behind(wildcards.table).values() for s in stores
        ],
    output:
        expand(str(ROOTS.results / "tables" / "{{table}}.{ending}"), ending=ENDINGS),
        page=report(
            str(ROOTS.results / "tables" / "{table}.html"),
            caption="../report/table.rst",
            category=paper_of,
            subcategory="Tables",
            labels=title_of,
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
        spec=table_spec,
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
        summaries=lambda wildcards: sorted({summary_of(cell.run) for cell in cells_of(wildcards.paper)}),
        trained=lambda wildcards: sorted({checkpoint_of(cell.run) for cell in cells_of(wildcards.paper)}),
        indices=lambda wildcards: counted_by(wildcards.paper),
    output:
        page=report(
            str(ROOTS.results / "report" / "{paper}" / "{kind}.html"),
            caption="../report/page.rst",
            category=paper_of,
            subcategory="How it came about",
            labels=lambda wildcards: {"what": PAGES[wildcards.kind]},
        ),
    log:
        log_of("page/{paper}.{kind}"),
    wildcard_constraints:
        paper="|".join(PAPERS),
        kind="|".join(PAGES),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=60,
    params:
        spec=page_spec,
        code=code_digest("fsar_core.cli.jobs.page"),
    shell:
        "python -m fsar_core page --kind {wildcards.kind} --paper {wildcards.paper} --spec {params.spec:q}"
        " --out {output.page:q} > {log:q} 2>&1"


rule tables:
    """Every table of every paper."""
    input:
        expand(str(ROOTS.results / "tables" / "{table}.csv"), table=STUDY.table_names),


rule dmgal:
    """Every table and figure of the DMGAL paper."""
    input:
        expand(str(ROOTS.results / "tables" / "{table}.csv"), table=numbered_tables_of("dmgal")),
        expand(str(ROOTS.results / "figures" / "{figure}.png"), figure=figures_of(STUDY, "dmgal")),


rule i2st:
    """Every table and figure of the I2ST paper."""
    input:
        expand(str(ROOTS.results / "tables" / "{table}.csv"), table=numbered_tables_of("i2st")),
        expand(str(ROOTS.results / "figures" / "{figure}.png"), figure=figures_of(STUDY, "i2st")),


rule sgtm:
    """Every table and figure of the SGTM paper."""
    input:
        expand(str(ROOTS.results / "tables" / "{table}.csv"), table=numbered_tables_of("sgtm")),
        expand(str(ROOTS.results / "figures" / "{figure}.png"), figure=figures_of(STUDY, "sgtm")),


rule report_dmgal:
    """What `make report` shows of the DMGAL paper."""
    input:
        pages_of("dmgal"),


rule report_i2st:
    """What `make report` shows of the I2ST paper."""
    input:
        pages_of("i2st"),


rule report_sgtm:
    """What `make report` shows of the SGTM paper."""
    input:
        pages_of("sgtm"),
