"""How jobs run: devices, prefetching, randomness, and the front of Snakemake.

    devices     the device of a job, leases of local GPUs, and the time that was waited for data
    prefetch    the next item is read while the present one is computed with
    seeding     all randomness: `rng(seed, *names)` and `derive(seed, *names)`
    launcher    the `snakemake` command of the README
    run_locks   Snakemake's locks name the process that holds them

Nothing here changes a result, but for `seeding`.
"""
