# Masks stores: instance masks of training clips, by the provider that the preset names. The frame rules' three with other inputs.


use rule plan_frames as plan_masks with:
    input:
        index=lambda wildcards: index_of(masks_spec(wildcards).dataset),
    output:
        plan=update(str(ROOTS.stores / "masks" / "{store}" / "plan.json")),
    log:
        log_of("plan_masks/{store}"),
    conda:
        "../../envs/torch-cpu.yaml"
    params:
        spec=json_of(masks_spec),
        store=lambda wildcards, output: str(Path(output.plan).parent),
        clips_per_job=PRESET.masks.clips_per_job,


rule fill_masks:
    input:
        plan=str(ROOTS.stores / "masks" / "{store}" / "plan.json"),
        index=lambda wildcards: index_of(masks_spec(wildcards).dataset),
        frames=lambda wildcards: manifest_of(masks_spec(wildcards).frames),
    output:
        receipt=update(str(ROOTS.stores / "masks" / "{store}" / "receipts" / "{job}.json")),
    log:
        log_of("fill_masks/{store}.{job}"),
    benchmark:
        benchmark_of("fill_masks/{store}.{job}")
    conda:
        "../../envs/torch-cpu.yaml"
    resources:
        mem_mb=PRESET.resources.mem_mb,
        runtime=240,
    params:
        spec=json_of(masks_spec),
        store=lambda wildcards, input: str(Path(input.plan).parent),
        frames=lambda wildcards, input: str(Path(input.frames).parent),
        folder=lambda wildcards: str(DATASETS[masks_spec(wildcards).dataset].folder),
    shell:
        "python -m fsar_core fill --spec {params.spec:q} --store {params.store:q} --index {input.index:q}"
        " --job {wildcards.job} --receipt {output.receipt:q} --frames {params.frames:q} --folder {params.folder:q}"
        " > {log:q} 2>&1"


use rule seal_frames as seal_masks with:
    input:
        plan=str(ROOTS.stores / "masks" / "{store}" / "plan.json"),
        receipts=lambda wildcards: receipts_of(masks_spec(wildcards)),
    output:
        manifest=update(str(ROOTS.stores / "masks" / "{store}" / "manifest.json")),
    log:
        log_of("seal_masks/{store}"),
    params:
        store=lambda wildcards, input: str(Path(input.plan).parent),
        max_failures=lambda wildcards: DATASETS[masks_spec(wildcards).dataset].card.max_failures,


rule masks:
    input:
        [manifest_of(spec) for spec in MASKS.values()],
