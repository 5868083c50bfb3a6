# Masks stores: instance masks of training clips, by the provider that the preset names. The frame rules' three with other inputs; and
# pictures of what is in them.
from fsar_core.store_kinds.masks import key_pattern


rule fetch_mask_weights:
    """Downloads a teacher's file, where the preset names its address, and checks its SHA-256."""
    output:
        weights=str(ROOTS.weights / "downloaded" / "{sha256}" / "{file}"),
    log:
        log_of("fetch_mask_weights/{sha256}.{file}"),
    wildcard_constraints:
        sha256=r"[0-9a-f]{64}",
        file=r"[^/]+",
    conda:
        "../../envs/torch-cpu.yaml"
    resources:
        mem_mb=memory(),
        runtime=120,
    params:
        address=given("mask_weights", "address"),
    shell:
        "python -m fsar_core fetch --address {params.address:q} --sha256 {wildcards.sha256} --out {output.weights:q}"
        " > {log:q} 2>&1"


use rule plan_frames as plan_masks with:
    """Decides the arrays of a masks store and creates them empty."""
    input:
        index=needs("masks", "index"),
    output:
        plan=made(ROOTS.stores / "masks" / "{store}" / "plan.json"),
    log:
        log_of("plan_masks/{store}"),
    conda:
        "../../envs/torch-cpu.yaml"
    params:
        spec=given("masks", "spec"),
        store=lambda wildcards, output: store_of(output.plan),
        clips_per_job=given("masks", "clips_per_job"),


rule fill_masks:
    """Stores the masks that come with a data set, of a share of its training clips."""
    input:
        plan=stored(ROOTS.stores / "masks" / "{store}" / "plan.json"),
        index=needs("masks", "index"),
        frames=needs("masks", "frames"),
    output:
        receipt=made(ROOTS.stores / "masks" / "{store}" / "receipts" / "{job}.json"),
    log:
        log_of("fill_masks/{store}.{job}"),
    benchmark:
        benchmark_of("fill_masks/{store}.{job}")
    wildcard_constraints:
        store=key_pattern(loads=False),
    conda:
        "../../envs/torch-cpu.yaml"
    resources:
        mem_mb=memory(),
        runtime=240,
    params:
        spec=given("masks", "spec"),
        store=lambda wildcards, input: store_of(input.plan),
        frames=lambda wildcards, input: store_of(input.frames),
        folder=given("masks", "folder"),
    shell:
        "python -m fsar_core fill --spec {params.spec:q} --store {params.store:q} --index {input.index:q}"
        " --job {wildcards.job} --receipt {output.receipt:q} --frames {params.frames:q} --folder {params.folder:q}"
        " > {log:q} 2>&1"


rule seem_masks:
    """Has a teacher (SEEM, as in I2ST, or another network that is prompted with the class) look at a share of the
    training clips.
    """
    input:
        plan=stored(ROOTS.stores / "masks" / "{store}" / "plan.json"),
        index=needs("masks", "index"),
        frames=needs("masks", "frames"),
        # Another file is another store, by its digest; a touched one is no reason to look at all frames again.
        weights=lambda wildcards: ancient(artifact("masks", wildcards).params["weights"]),
    output:
        receipt=made(ROOTS.stores / "masks" / "{store}" / "receipts" / "{job}.json"),
    log:
        log_of("seem_masks/{store}.{job}"),
    benchmark:
        benchmark_of("seem_masks/{store}.{job}")
    wildcard_constraints:
        store=key_pattern(loads=True),
    conda:
        "../../envs/torch-gpu.yaml"
    threads: PRESET.resources.backbone_threads
    resources:
        gpu=GPUS,
        gpu_manufacturer=MAKER,
        mem_mb=memory(4000),
        runtime=720,
        device=PRESET.resources.device,
        batch_frames=PRESET.masks.batch_frames,
    params:
        spec=given("masks", "spec"),
        store=lambda wildcards, input: store_of(input.plan),
        frames=lambda wildcards, input: store_of(input.frames),
        weights=given("masks", "weights"),
    shell:
        "python -m fsar_core lease -n {resources.gpu} -- python -m fsar_core fill --spec {params.spec:q}"
        " --store {params.store:q} --index {input.index:q} --job {wildcards.job} --receipt {output.receipt:q}"
        " --frames {params.frames:q} --weights {params.weights:q} --batch-frames {resources.batch_frames}"
        " --threads {threads} --device {resources.device} > {log:q} 2>&1"


use rule seal_frames as seal_masks with:
    """Checks and seals a masks store."""
    input:
        plan=stored(ROOTS.stores / "masks" / "{store}" / "plan.json"),
        receipts=receipts_of("masks"),
    output:
        manifest=made(ROOTS.stores / "masks" / "{store}" / "manifest.json"),
    log:
        log_of("seal_masks/{store}"),
    params:
        store=lambda wildcards, input: store_of(input.plan),
        max_failures=given("masks", "max_failures"),


rule look_at_masks:
    """Draws what the masks of a data set look like, and how well a teacher thinks that they fit."""
    input:
        masks=needs("mask_pictures", "masks"),
        frames=needs("mask_pictures", "frames"),
        index=needs("mask_pictures", "index"),
    output:
        expand(str(ROOTS.results / "masks" / "{{dataset}}.{ending}"), ending=("png", "pdf", "csv")),
    log:
        log_of("look_at_masks/{dataset}"),
    wildcard_constraints:
        dataset="|".join(STUDY.datasets),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=60,
    params:
        masks=lambda wildcards, input: store_of(input.masks),
        frames=lambda wildcards, input: store_of(input.frames),
        out=lambda wildcards, output: str(Path(output[0]).with_suffix("")),
        code=code_digest("fsar_core.cli.jobs.look"),
    shell:
        "python -m fsar_core look --masks {params.masks:q} --frames {params.frames:q} --index {input.index:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule masks:
    """The masks of every data set, of as many frames a clip as the preset takes; other numbers are made for the runs
    that need them.
    """
    input:
        [stored(path) for one in GRAPH.of_kind("mask_pictures").values() for path in one.input_files("masks")],
