# Frozen episodes; training of a model, tests of it.


rule draw_episodes:
    """Draws frozen test or validation episodes, the same for every method."""
    input:
        index=needs("episodes", "index"),
        frames=needs("episodes", "frames"),
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
        spec=given("episodes", "spec"),
        frames=lambda wildcards, input: store_of(input.frames),
        code=code_digest("fsar_core.cli.jobs.draw_episodes"),
    shell:
        "python -m fsar_core draw-episodes --spec {params.spec:q} --index {input.index:q} --frames {params.frames:q}"
        " --out {output.table:q} > {log:q} 2>&1"


rule train_head:
    """Trains a model: a head and a metric on a data set at a shot; the best of its validations is kept."""
    input:
        features=needs("model", "features"),
        trained=needs("model", "trained"),
        index=needs("model", "index"),
        masks=needs("model", "masks"),
        saliency=needs("model", "saliency"),
        classifier=needs("model", "classifier"),
        others=needs("model", "others"),
        validation=needs("model", "validation"),
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
        spec=given("model", "spec"),
        features=lambda wildcards, input: store_of(input.features),
        weights=given("model", "weights"),
        weights_root=str(ROOTS.weights),
        masks=given("model", "masks"),
        saliency=given("model", "saliency"),
        others=given("model", "others"),
        mixed_precision=flag("--mixed-precision", PRESET.resources.mixed_precision),
        code=code_of("model", "train"),
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
        features=needs("run", "features"),
        trained=needs("run", "trained"),
        episodes=needs("run", "episodes"),
        checkpoint=needs("run", "checkpoint"),
        others=needs("run", "others"),
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
        spec=given("run", "spec"),
        features=lambda wildcards, input: store_of(input.features),
        weights=given("run", "weights"),
        weights_root=str(ROOTS.weights),
        others=given("run", "others"),
        mixed_precision=flag("--mixed-precision", PRESET.resources.mixed_precision),
        code=code_of("run", "evaluate"),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core evaluate --spec {params.spec:q}"
        " --features {params.features:q} --episodes {input.episodes:q} --checkpoint {input.checkpoint:q}"
        " --weights {params.weights:q} --weights-root {params.weights_root:q} --device {resources.device}"
        " --memory-gib {resources.memory_gib} --evaluation-batch {resources.evaluation_batch} {params.mixed_precision}"
        " --threads {threads} {params.others:q} --queries {output.queries:q} --summary {output.summary:q} > {log:q} 2>&1"


rule episodes:
    """All frozen episodes."""
    input:
        every("episodes"),


rule heads:
    """Every run of every table and figure, trained and tested."""
    input:
        every("run"),
