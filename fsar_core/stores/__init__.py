"""Stores: arrays of clips in chunked Zarr v3 shards, filled job by job and sealed.

    kinds           the base class of a kind of store (the kinds are in `fsar_core.store_kinds`)
    jobs            what `fsar plan`, `fill` and `seal` do
    layout          the plan: arrays, shards and jobs of a store
    writer          writes the shard files and the receipt of a job
    manifest        the seal, without which a store does not exist for readers
    reader          reads clips by row and view
    shards          reads and writes shard files, several clips at a time
    jpeg            frames that are stored as JPEG
    inputs          what a job was made from, recorded in its receipt
    left_out        clips that could not be used, for tables and reports
    verify          compares every byte with its checksum
    access          readers and those who change a store exclude each other
    leases, objects stores in a bucket

A job plans a store, several jobs fill it and write receipts, and one job seals it. Stores in
folders and in buckets are used by the same functions.
"""
