# Backbone training and feature stores.


rule train_backbone:
    """Trains a small backbone on the training classes of a data set."""
    input:
        frames=needs("backbone", "frames"),
        index=needs("backbone", "index"),
    output:
        weights=update(str(ROOTS.weights / "trained" / "{backbone}.pt")),
        history=update(str(ROOTS.weights / "trained" / "{backbone}.csv")),
    log:
        log_of("train_backbone/{backbone}"),
    benchmark:
        benchmark_of("train_backbone/{backbone}")
    conda:
        "../../envs/torch-gpu.yaml"
    threads: PRESET.resources.backbone_threads
    resources:
        gpu=GPUS,
        gpu_manufacturer=MAKER,
        mem_mb=memory(),
        runtime=240,
        device=PRESET.resources.device,
    params:
        spec=given("backbone", "spec"),
        frames=lambda wildcards, input: store_of(input.frames),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core train-backbone --spec {params.spec:q}"
        " --frames {params.frames:q} --index {input.index:q} --threads {threads} --device {resources.device}"
        " --out {output.weights:q} --history {output.history:q} > {log:q} 2>&1"


use rule plan_frames as plan_features with:
    """Decides the arrays of a feature store and creates them empty."""
    input:
        index=needs("features", "index"),
    output:
        plan=made(ROOTS.stores / "features" / "{store}" / "plan.json"),
    log:
        log_of("plan_features/{store}"),
    conda:
        "../../envs/torch-cpu.yaml"
    params:
        spec=given("features", "spec"),
        store=lambda wildcards, output: store_of(output.plan),
        clips_per_job=given("features", "clips_per_job"),


rule fill_features:
    """Runs a backbone up to its cut on a share of the clips."""
    input:
        plan=stored(ROOTS.stores / "features" / "{store}" / "plan.json"),
        index=needs("features", "index"),
        frames=needs("features", "frames"),
        trained=needs("features", "trained"),
    output:
        receipt=made(ROOTS.stores / "features" / "{store}" / "receipts" / "{job}.json"),
    log:
        log_of("fill_features/{store}.{job}"),
    benchmark:
        benchmark_of("fill_features/{store}.{job}")
    conda:
        "../../envs/torch-gpu.yaml"
    threads: PRESET.resources.backbone_threads
    resources:
        gpu=GPUS,
        gpu_manufacturer=MAKER,
        mem_mb=memory(),
        runtime=240,
        # How it is computed, not what: a change of a resource makes nothing run again.
        device=PRESET.resources.device,
        batch_clips=given("features", "batch_clips"),
        precision="mixed" if PRESET.resources.mixed_precision else "full",
    params:
        spec=given("features", "spec"),
        store=lambda wildcards, input: store_of(input.plan),
        frames=lambda wildcards, input: store_of(input.frames),
        weights=given("features", "weights"),
        weights_root=str(ROOTS.weights),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core fill --spec {params.spec:q}"
        " --store {params.store:q} --index {input.index:q} --job {wildcards.job} --receipt {output.receipt:q}"
        " --frames {params.frames:q} --weights {params.weights:q} --weights-root {params.weights_root:q}"
        " --batch-clips {resources.batch_clips} --threads {threads} --device {resources.device}"
        " --precision {resources.precision} > {log:q} 2>&1"


use rule seal_frames as seal_features with:
    """Checks and seals a feature store."""
    input:
        plan=stored(ROOTS.stores / "features" / "{store}" / "plan.json"),
        receipts=receipts_of("features"),
    output:
        manifest=made(ROOTS.stores / "features" / "{store}" / "manifest.json"),
    log:
        log_of("seal_features/{store}"),
    params:
        store=lambda wildcards, input: store_of(input.plan),
        max_failures=given("features", "max_failures"),


rule features:
    """Every feature store."""
    input:
        every("features"),
