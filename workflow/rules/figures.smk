# Figures.


rule inspect_run:
    """Takes out of a trained run what a figure shows of it: attention or evidence on chosen queries, what its metric
    is given of episodes, or masks that it predicts.
    """
    input:
        features=needs("inspection", "features"),
        frames=needs("inspection", "frames"),
        trained=needs("inspection", "trained"),
        episodes=needs("inspection", "episodes"),
        checkpoint=needs("inspection", "checkpoint"),
        index=needs("inspection", "index"),
        masks=needs("inspection", "masks"),
    output:
        found=str(ROOTS.results / "inspections" / "{figure}" / "{run}.npz"),
    log:
        log_of("inspect_run/{figure}.{run}"),
    wildcard_constraints:
        figure="|".join(STUDY.figure_names),
    conda:
        "../../envs/torch-gpu.yaml"
    threads: PRESET.resources.train_threads
    resources:
        gpu=GPUS,
        gpu_manufacturer=MAKER,
        mem_mb=memory(),
        runtime=60,
        device=PRESET.resources.device,
        memory_gib=str(PRESET.resources.memory_gib),
    params:
        spec=given("inspection", "spec"),
        features=lambda wildcards, input: store_of(input.features),
        frames=lambda wildcards, input: store_of(input.frames),
        weights=given("inspection", "weights"),
        weights_root=str(ROOTS.weights),
        episode_spec=given("inspection", "episode_spec"),
        wanted=given("inspection", "wanted"),
        masks=given("inspection", "masks"),
        kind=given("inspection", "kind"),
        code=code_of("inspection", "inspect"),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core inspect --spec {params.spec:q}"
        " --features {params.features:q} --episodes {input.episodes:q} --episode-spec {params.episode_spec:q}"
        " --checkpoint {input.checkpoint:q} --frames {params.frames:q} --kind {params.kind:q} --wanted {params.wanted:q}"
        " --weights {params.weights:q} --weights-root {params.weights_root:q} --device {resources.device}"
        " --memory-gib {resources.memory_gib} --threads {threads} --index {input.index:q} --masks={params.masks:q}"
        " --out {output.found:q} > {log:q} 2>&1"


rule inspect_saliency:
    """Takes out of a saliency store what a figure shows of it, and pictures of a few of its clips."""
    input:
        saliency=needs("actionness", "saliency"),
        frames=needs("actionness", "frames"),
        index=needs("actionness", "index"),
    output:
        found=str(ROOTS.results / "actionness" / "{figure}" / "{store}.npz"),
    log:
        log_of("inspect_saliency/{figure}.{store}"),
    wildcard_constraints:
        figure="|".join(STUDY.figure_names),
    conda:
        "../../envs/torch-cpu.yaml"
    resources:
        mem_mb=memory(),
        runtime=60,
    params:
        spec=given("actionness", "spec"),
        store=lambda wildcards, input: store_of(input.saliency),
        frames=lambda wildcards, input: store_of(input.frames),
        intervals=given("actionness", "intervals"),
        examples=given("actionness", "examples"),
        code=code_digest("fsar_core.cli.jobs.inspect_saliency"),
    shell:
        "python -m fsar_core inspect-saliency --spec {params.spec:q} --store {params.store:q} --frames {params.frames:q}"
        " --index {input.index:q} --intervals={params.intervals:q} --examples {params.examples} --out {output.found:q} > {log:q} 2>&1"


rule figure:
    """Draws a paper's figure, writes what is drawn as a table, and its page of the report: the picture with its caption."""
    input:
        summaries=needs("figure", "summaries"),
        inspections=needs("figure", "inspections"),
        watched=needs("figure", "watched"),
    output:
        expand(str(ROOTS.results / "figures" / "{{figure}}.{ending}"), ending=("pdf", "csv", "png")),
        page=report(
            str(ROOTS.results / "figures" / "{figure}.html"),
            caption="../report/figure.rst",
            category=paper_of("figure"),
            subcategory="Figures",
            labels=title_of("figure"),
        ),
    log:
        log_of("figure/{figure}"),
    wildcard_constraints:
        figure="|".join(STUDY.figure_names),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=30,
    params:
        spec=given("figure", "spec"),
        runs=str(ROOTS.results / "runs"),
        out=lambda wildcards, output: str(Path(output.page).with_suffix("")),
        code=code_of("figure", "figure"),
    shell:
        "python -m fsar_core figure --name {wildcards.figure} --spec {params.spec:q} --runs {params.runs:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule figures:
    """Every figure of every paper."""
    input:
        every("figure"),
