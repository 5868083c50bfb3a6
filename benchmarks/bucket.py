"""Reading random episodes out of a feature store in a bucket: by our ranges, and by zarr-python over obstore.

    python benchmarks/bucket.py [--clips 192] [--repeats 5]

A server of moto's is started on this machine, in a process of its own: a request costs the time of its Python, and none of a
network. Features are float16, 8 x 512 x 7 x 7 a clip (0.4 MB), half of them zeros.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

import numpy as np
from _side_by_side import Line, in_turn, ratios, short

from fsar_core.storage.object_paths import ObjectPath
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import write_job
from tests.builders import array_blocks, feature_plan, toy_feature_spec

SHAPE = (1, 8, 512, 7, 7)
SERVER = """
import logging, threading
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
threading.Event().wait()
"""


def filled(store: ObjectPath, clips: int, compression: str) -> StoreReader:
    values = np.maximum(np.random.default_rng(0).normal(size=(clips, *SHAPE)), 0).astype(np.float16)
    spec = toy_feature_spec(compression=compression)
    plan = feature_plan(spec, values.shape[2:], clips)
    create(store, plan)
    for job in range(plan.jobs):
        write_job(store, job, array_blocks(values, plan.rows(job)), store / f"receipts/{job}.json")
    seal(store, 0)
    return StoreReader(store, "features", spec)


def compare(compression: str, clips: int, repeats: int) -> None:
    reader = filled(ObjectPath("bench", compression), clips, compression)
    rng = np.random.default_rng(1)
    episodes = [rng.permutation(clips)[:10] for _ in range(10)]
    array = reader._array

    def ours(parts: list[np.ndarray]) -> None:
        for rows in parts:
            reader.read(rows)

    def by_zarr(parts: list[np.ndarray]) -> None:
        for rows in parts:
            for row in rows:
                array[row, 0]

    for what, parts in (
        ("episodes of 10 clips", episodes),
        ("all clips in order", [np.arange(clips)]),
    ):
        count = sum(map(len, parts)) * reader.clip_bytes / 1e6
        here, other = in_turn(lambda p=parts: ours(p), lambda p=parts: by_zarr(p), repeats=repeats)
        rates = [f"{short(count / statistics.median(times))} MB/s" for times in (here, other)]
        named = f"{what}, from a bucket, {'uncompressed' if compression == 'none' else compression}"
        Line(named, rates[0], "zarr-python, a clip at a time", rates[1], ratios(other, here)).show()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        os.environ.update(AWS_ENDPOINT_URL=server.stdout.readline().strip(), AWS_REGION="us-east-1")
        os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret")
        import boto3

        boto3.client("s3").create_bucket(Bucket="bench")
        for compression in ("zstd", "none"):
            compare(compression, args.clips, args.repeats)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
