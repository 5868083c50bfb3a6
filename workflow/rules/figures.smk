# Figures.


rule inspect_run:
    """Takes out of a trained run what a figure shows of it: attention or evidence on chosen queries, what its metric
    is given of episodes, or masks that it predicts.
    """
    input:
        features=lambda wildcards: manifest_of(run_spec(wildcards).tested_on),
        frames=lambda wildcards: manifest_of(run_spec(wildcards).tested_on.frames),
        trained=lambda wildcards: trained_weights(run_spec(wildcards).tested_on),
        episodes=lambda wildcards: str(STUDY.paths.episodes(look_of(wildcards)[0].episodes)),
        checkpoint=lambda wildcards: checkpoint_of(run_spec(wildcards)),
        index=lambda wildcards: index_of(run_spec(wildcards).tested_on.dataset),
        masks=masks_looked_at,
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
        spec=json_of(run_spec),
        features=lambda wildcards, input: store_of(input.features),
        frames=lambda wildcards, input: store_of(input.frames),
        weights=lambda wildcards: STUDY.specs.weights_option(run_spec(wildcards).tested_on),
        weights_root=str(ROOTS.weights),
        episode_spec=lambda wildcards: look_of(wildcards)[0].episodes.json_text,
        wanted=lambda wildcards: canonical_json(look_of(wildcards)[1]),
        masks=lambda wildcards: masks_store(run_spec(wildcards)),
        code=lambda wildcards: code_digest("fsar_core.cli.jobs.inspect", *components_of(run_spec(wildcards))),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core inspect --spec {params.spec:q}"
        " --features {params.features:q} --episodes {input.episodes:q} --episode-spec {params.episode_spec:q}"
        " --checkpoint {input.checkpoint:q} --frames {params.frames:q} --wanted {params.wanted:q}"
        " --weights {params.weights:q} --weights-root {params.weights_root:q} --device {resources.device}"
        " --memory-gib {resources.memory_gib} --threads {threads} --index {input.index:q} --masks={params.masks:q}"
        " --out {output.found:q} > {log:q} 2>&1"


rule inspect_saliency:
    """Takes out of a saliency store what a figure shows of it, and pictures of a few of its clips."""
    input:
        saliency=lambda wildcards: manifest_of(saliency_spec(wildcards)),
        frames=lambda wildcards: manifest_of(saliency_spec(wildcards).features.frames),
        index=lambda wildcards: index_of(saliency_spec(wildcards).dataset),
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
        spec=json_of(saliency_spec),
        store=lambda wildcards, input: store_of(input.saliency),
        frames=lambda wildcards, input: store_of(input.frames),
        intervals=lambda wildcards: intervals_of(saliency_spec(wildcards).dataset),
        examples=lambda wildcards: examples_of(wildcards.figure),
        code=code_digest("fsar_core.cli.jobs.inspect_saliency"),
    shell:
        "python -m fsar_core inspect-saliency --spec {params.spec:q} --store {params.store:q} --frames {params.frames:q}"
        " --index {input.index:q} --intervals={params.intervals:q} --examples {params.examples} --out {output.found:q} > {log:q} 2>&1"


rule figure:
    """Draws a paper's figure, writes what is drawn as a table, and its page of the report: the picture with its caption."""
    input:
        summaries=lambda wildcards: sorted({summary_of(point.run) for point in STUDY.experiments.points(wildcards.figure)}),
        inspections=lambda wildcards: inspections_of(wildcards.figure),
        watched=lambda wildcards: [path for _, path in watched_by(wildcards.figure)],
    output:
        expand(str(ROOTS.results / "figures" / "{{figure}}.{ending}"), ending=("pdf", "csv", "png")),
        page=report(
            str(ROOTS.results / "figures" / "{figure}.html"),
            caption="../report/figure.rst",
            category=paper_of,
            subcategory="Figures",
            labels=title_of,
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
        spec=figure_spec,
        runs=str(ROOTS.results / "runs"),
        out=lambda wildcards, output: str(Path(output.page).with_suffix("")),
        code=code_digest("fsar_core.cli.jobs.figure"),
    shell:
        "python -m fsar_core figure --name {wildcards.figure} --spec {params.spec:q} --runs {params.runs:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule figures:
    """Every figure of every paper."""
    input:
        expand(str(ROOTS.results / "figures" / "{figure}.png"), figure=STUDY.figure_names),
