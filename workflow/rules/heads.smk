# Frozen episodes; training of a model, tests of it.


rule draw_episodes:
    """Draws frozen test or validation episodes, the same for every method."""
    input:
        index=lambda wildcards: index_of(episodes_spec(wildcards).dataset),
        frames=lambda wildcards: manifest_of(STUDY.specs.frames(episodes_spec(wildcards).dataset)),
    output:
        table=str(ROOTS.results / "episodes" / "{episodes}.npz"),
    log:
        log_of("draw_episodes/{episodes}"),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=30,
    params:
        spec=json_of(episodes_spec),
        frames=lambda wildcards, input: store_of(input.frames),
        code=code_digest("fsar_core.cli.jobs.draw_episodes"),
    shell:
        "python -m fsar_core draw-episodes --spec {params.spec:q} --index {input.index:q} --frames {params.frames:q}"
        " --out {output.table:q} > {log:q} 2>&1"


rule train_head:
    """Trains a model: a head and a metric on a data set at a shot; the best of its validations is kept."""
    input:
        features=lambda wildcards: manifest_of(model_spec(wildcards).features),
        trained=lambda wildcards: trained_weights(model_spec(wildcards).features),
        index=lambda wildcards: index_of(model_spec(wildcards).features.dataset),
        masks=lambda wildcards: masks_of(model_spec(wildcards)),
        saliency=lambda wildcards: saliency_of(model_spec(wildcards)),
        classifier=lambda wildcards: classifier_of(model_spec(wildcards)),
        others=lambda wildcards: other_input_manifests(model_spec(wildcards)),
        validation=lambda wildcards: str(STUDY.paths.episodes(model_spec(wildcards).validation)),
    output:
        checkpoint=str(ROOTS.results / "models" / "{model}" / "checkpoint.pt"),
        history=str(ROOTS.results / "models" / "{model}" / "history.csv"),
    log:
        log_of("train_head/{model}"),
    benchmark:
        benchmark_of("train_head/{model}")
    conda:
        "../../envs/torch-gpu.yaml"
    threads: PRESET.resources.train_threads
    resources:
        gpu=GPUS,
        gpu_manufacturer=MAKER,
        mem_mb=memory(),
        runtime=720,
        device=PRESET.resources.device,
        memory_gib=str(PRESET.resources.memory_gib),
        evaluation_batch=PRESET.resources.evaluation_batch,
    params:
        spec=json_of(model_spec),
        features=lambda wildcards, input: store_of(input.features),
        weights=lambda wildcards: STUDY.specs.weights_option(model_spec(wildcards).features),
        weights_root=str(ROOTS.weights),
        masks=lambda wildcards: masks_store(model_spec(wildcards)),
        saliency=lambda wildcards: saliency_store(model_spec(wildcards)),
        others=lambda wildcards: other_input_options(model_spec(wildcards)),
        mixed_precision=flag("--mixed-precision", PRESET.resources.mixed_precision),
        code=lambda wildcards: code_digest("fsar_core.cli.jobs.train", *training_modules_of(model_spec(wildcards))),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core train --spec {params.spec:q}"
        " --features {params.features:q} --index {input.index:q} --validation {input.validation:q} --threads {threads}"
        " --weights {params.weights:q} --weights-root {params.weights_root:q} --device {resources.device}"
        " --memory-gib {resources.memory_gib} --evaluation-batch {resources.evaluation_batch} {params.mixed_precision}"
        " --masks={params.masks:q} --saliency={params.saliency:q} --classifier={input.classifier:q} --code {params.code}"
        " {params.others:q} --checkpoint {output.checkpoint:q} --history {output.history:q} > {log:q} 2>&1"


rule evaluate_head:
    """Tests a model on frozen episodes and keeps the result of every query."""
    input:
        features=lambda wildcards: manifest_of(run_spec(wildcards).tested_on),
        trained=lambda wildcards: trained_weights(run_spec(wildcards).tested_on),
        episodes=lambda wildcards: str(STUDY.paths.episodes(run_spec(wildcards).test)),
        checkpoint=lambda wildcards: checkpoint_of(run_spec(wildcards)),
    output:
        queries=str(ROOTS.results / "runs" / "{run}" / "queries.csv.gz"),
        summary=str(ROOTS.results / "runs" / "{run}" / "summary.json"),
    log:
        log_of("evaluate_head/{run}"),
    benchmark:
        benchmark_of("evaluate_head/{run}")
    conda:
        "../../envs/torch-gpu.yaml"
    threads: PRESET.resources.train_threads
    resources:
        gpu=GPUS,
        gpu_manufacturer=MAKER,
        mem_mb=memory(),
        runtime=240,
        device=PRESET.resources.device,
        memory_gib=str(PRESET.resources.memory_gib),
        evaluation_batch=PRESET.resources.evaluation_batch,
    params:
        spec=json_of(run_spec),
        features=lambda wildcards, input: store_of(input.features),
        weights=lambda wildcards: STUDY.specs.weights_option(run_spec(wildcards).tested_on),
        weights_root=str(ROOTS.weights),
        mixed_precision=flag("--mixed-precision", PRESET.resources.mixed_precision),
        code=lambda wildcards: code_digest("fsar_core.cli.jobs.evaluate", *components_of(run_spec(wildcards))),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core evaluate --spec {params.spec:q}"
        " --features {params.features:q} --episodes {input.episodes:q} --checkpoint {input.checkpoint:q}"
        " --weights {params.weights:q} --weights-root {params.weights_root:q} --device {resources.device}"
        " --memory-gib {resources.memory_gib} --evaluation-batch {resources.evaluation_batch} {params.mixed_precision}"
        " --threads {threads} --queries {output.queries:q} --summary {output.summary:q} > {log:q} 2>&1"


rule episodes:
    """All frozen episodes."""
    input:
        [str(STUDY.paths.episodes(spec)) for spec in EPISODES.values()],


rule heads:
    """Every run of every table and figure, trained and tested."""
    input:
        [summary_of(spec) for spec in RUNS.values()],
