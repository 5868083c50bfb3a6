"""Files: where they lie, how they are written whole, and what they were made from.

    places          folders and buckets under one interface; `place` parses a path, once, at the
                    command line
    object_paths    objects of a bucket, used like `pathlib.Path`
    object_client   the connection to an object store
    provenance      digests, atomic files, JSON files with checksums, the code behind a result
    bindings        what an artifact was made from, compared wherever it is used
    checkpoint      checkpoints of trainings
    locks           one process at a time, in folders and buckets
    download        files from an address, with a known SHA-256
    weight_files    weights that mask providers load

Nothing here knows what an artifact contains. Errors name the file and the command that mends it.
"""
