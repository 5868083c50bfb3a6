# Demo videos, clip index, frame stores.
#
# `update`: whatever lies in the folders of data, stores and weights may serve other runs of Snakemake too, so that it is replaced
# when the new is whole, and not taken away before.


rule demo_videos:
    """Draws a share of a demo data set's videos and masks, and its lists."""
    output:
        receipt=update(str(ROOTS.data / "{dataset}" / "{digest}" / "receipts" / "{job}.json")),
    log:
        log_of("demo_videos/{dataset}.{digest}.{job}"),
    benchmark:
        benchmark_of("demo_videos/{dataset}.{digest}.{job}")
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=60,
        jobs=PRESET.demo_videos.jobs,
    params:
        spec=canonical_json(PRESET.demo_videos.model_dump(mode="json", exclude={"jobs"})),
        generator=given("demo_videos", "generator"),
        seed=STUDY.config.seed,
        folder=given("demo_videos", "folder"),
    shell:
        "python -m fsar_core demo-videos --dataset {params.generator:q} --spec {params.spec:q} --seed {params.seed}"
        " --folder {params.folder:q} --job {wildcards.job} --jobs {resources.jobs}"
        " --receipt {output.receipt:q} > {log:q} 2>&1"


rule clip_index:
    """Opens every listed clip once: which can be used, how many frames, and what is wrong with the others."""
    input:
        demo=needs("clip_index", "demo"),
        # What decides pixels, classes and splits is in the digest of the output's name; a new title makes nothing again.
        card=ancient(str(WORKFLOW / "datasets" / "{dataset}" / "card.yaml")),
    output:
        index=made(ROOTS.stores / "index" / "{dataset}.{digest}.tsv"),
    log:
        text=log_of("clip_index/{dataset}.{digest}"),
        # Kept where the job fails because there are too many.
        problems=str(ROOTS.results / "logs" / "clip_index" / "{dataset}.{digest}.problems.tsv"),
    benchmark:
        benchmark_of("clip_index/{dataset}.{digest}")
    conda:
        "../../envs/decode.yaml"
    threads: PRESET.resources.decode_threads
    resources:
        mem_mb=memory(),
        runtime=240,
        decode_timeout=PRESET.resources.decode_timeout,
    params:
        min_frames=given("clip_index", "min_frames"),
        max_failures=given("clip_index", "max_failures"),
        folder=given("clip_index", "folder"),
    shell:
        "python -m fsar_core index --card {input.card:q} --folder {params.folder:q} --threads {threads}"
        " --timeout {resources.decode_timeout} --problems {log.problems:q} --out {output.index:q} > {log.text:q} 2>&1"


rule plan_frames:
    """Decides the arrays of a frame store and creates them empty. The other kinds of stores take plan, filling and
    seal over with their own inputs.
    """
    input:
        index=needs("frames", "index"),
    output:
        plan=made(ROOTS.stores / "frames" / "{store}" / "plan.json"),
    log:
        log_of("plan_frames/{store}"),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=30,
    params:
        spec=given("frames", "spec"),
        store=lambda wildcards, output: store_of(output.plan),
        clips_per_job=given("frames", "clips_per_job"),
    shell:
        "python -m fsar_core plan --spec {params.spec:q} --store {params.store:q} --index {input.index:q}"
        " --clips-per-job {params.clips_per_job} > {log:q} 2>&1"


rule fill_frames:
    """Decodes a share of the clips into their frame store; the receipt says what is in it, and what failed."""
    input:
        plan=stored(ROOTS.stores / "frames" / "{store}" / "plan.json"),
        index=needs("frames", "index"),
    output:
        receipt=made(ROOTS.stores / "frames" / "{store}" / "receipts" / "{job}.json"),
    log:
        log_of("fill_frames/{store}.{job}"),
    benchmark:
        benchmark_of("fill_frames/{store}.{job}")
    conda:
        "../../envs/decode.yaml"
    threads: PRESET.resources.decode_threads
    resources:
        mem_mb=memory(),
        runtime=240,
        decode_timeout=PRESET.resources.decode_timeout,
    params:
        spec=given("frames", "spec"),
        store=lambda wildcards, input: store_of(input.plan),
        folder=given("frames", "folder"),
    shell:
        "python -m fsar_core fill --spec {params.spec:q} --store {params.store:q} --index {input.index:q}"
        " --job {wildcards.job} --receipt {output.receipt:q} --folder {params.folder:q} --threads {threads}"
        " --timeout {resources.decode_timeout} > {log:q} 2>&1"


rule seal_frames:
    """Checks that the receipts cover the whole store and seals it: a store without a manifest does not exist for
    readers.
    """
    input:
        plan=stored(ROOTS.stores / "frames" / "{store}" / "plan.json"),
        receipts=receipts_of("frames"),
    output:
        manifest=made(ROOTS.stores / "frames" / "{store}" / "manifest.json"),
    log:
        log_of("seal_frames/{store}"),
    conda:
        "../../envs/decode.yaml"
    resources:
        mem_mb=memory(),
        runtime=30,
    params:
        store=lambda wildcards, input: store_of(input.plan),
        max_failures=given("frames", "max_failures"),
    shell:
        "python -m fsar_core seal --store {params.store:q} --max-failures {params.max_failures} > {log:q} 2>&1"


# Stages by name.
rule index:
    """The clip index of every data set."""
    input:
        every("clip_index"),


rule frames:
    """Every frame store."""
    input:
        every("frames"),
