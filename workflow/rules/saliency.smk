# Saliency: the classifier of frames of a feature store, and stores of the actionness that it gives. The frame rules' three with other
# inputs.


rule train_classifier:
    """Trains the classifier of frames behind actionness."""
    input:
        features=needs("classifier", "features"),
        index=needs("classifier", "index"),
    output:
        checkpoint=update(str(ROOTS.weights / "saliency" / "{classifier}.pt")),
        history=update(str(ROOTS.weights / "saliency" / "{classifier}.csv")),
    log:
        log_of("train_classifier/{classifier}"),
    benchmark:
        benchmark_of("train_classifier/{classifier}")
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
        spec=given("classifier", "spec"),
        features=lambda wildcards, input: store_of(input.features),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core train-classifier --spec {params.spec:q}"
        " --features {params.features:q} --index {input.index:q} --threads {threads} --device {resources.device}"
        " --out {output.checkpoint:q} --history {output.history:q} > {log:q} 2>&1"


use rule plan_frames as plan_saliency with:
    """Decides the arrays of a saliency store and creates them empty."""
    input:
        index=needs("saliency", "index"),
    output:
        plan=made(ROOTS.stores / "saliency" / "{store}" / "plan.json"),
    log:
        log_of("plan_saliency/{store}"),
    conda:
        "../../envs/torch-cpu.yaml"
    params:
        spec=given("saliency", "spec"),
        store=lambda wildcards, output: store_of(output.plan),
        clips_per_job=given("saliency", "clips_per_job"),


rule fill_saliency:
    """Scores the actionness of every frame of a share of the clips."""
    input:
        plan=stored(ROOTS.stores / "saliency" / "{store}" / "plan.json"),
        index=needs("saliency", "index"),
        features=needs("saliency", "features"),
        classifier=needs("saliency", "classifier"),
    output:
        receipt=made(ROOTS.stores / "saliency" / "{store}" / "receipts" / "{job}.json"),
    log:
        log_of("fill_saliency/{store}.{job}"),
    benchmark:
        benchmark_of("fill_saliency/{store}.{job}")
    conda:
        "../../envs/torch-cpu.yaml"
    threads: PRESET.resources.train_threads
    resources:
        mem_mb=memory(),
        runtime=240,
    params:
        spec=given("saliency", "spec"),
        store=lambda wildcards, input: store_of(input.plan),
        features=lambda wildcards, input: store_of(input.features),
    shell:
        "python -m fsar_core fill --spec {params.spec:q} --store {params.store:q} --index {input.index:q}"
        " --job {wildcards.job} --receipt {output.receipt:q} --features {params.features:q} --weights {input.classifier:q}"
        " --threads {threads} > {log:q} 2>&1"


use rule seal_frames as seal_saliency with:
    """Checks and seals a saliency store."""
    input:
        plan=stored(ROOTS.stores / "saliency" / "{store}" / "plan.json"),
        receipts=receipts_of("saliency"),
    output:
        manifest=made(ROOTS.stores / "saliency" / "{store}" / "manifest.json"),
    log:
        log_of("seal_saliency/{store}"),
    params:
        store=lambda wildcards, input: store_of(input.plan),
        max_failures=given("saliency", "max_failures"),


rule saliency:
    """Every saliency store."""
    input:
        every("saliency"),
