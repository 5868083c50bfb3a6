"""Single bad entries in the index of a shard, and bad shard files that an earlier attempt left."""

from __future__ import annotations

import google_crc32c
import numpy as np
import pytest

from fsar_core.errors import FsarError
from fsar_core.stores.layout import FILE_CLIPS
from fsar_core.stores.reader import StoreReader
from tests.stores.conftest import planned

INDEX = FILE_CLIPS * 16 + 4
BAD_ENTRIES = {
    "offset beyond the end": lambda offset, size, total: (total + 1, size),
    "size beyond the end": lambda offset, size, total: (offset, total + 1),
    "sum beyond the end": lambda offset, size, total: (total - 5, size),
    "sum that wraps around": lambda offset, size, total: (offset, 2**64 - offset),
    "too short for a checksum": lambda offset, size, total: (offset, 3),
}


@pytest.mark.parametrize("entry", BAD_ENTRIES)
def test_one_bad_entry_in_the_index_of_an_object(bucket, entry):
    """The checksum of the index is right, and all other entries are."""
    toy = planned(bucket / "store")
    toy.fill().seal()
    reader = StoreReader(toy.path, "features")
    data = toy.shard(1).read_bytes()
    index = np.frombuffer(data[-INDEX:-4], "<u8").reshape(-1, 2).copy()
    index[7] = BAD_ENTRIES[entry](*index[7].tolist(), len(data))
    checksum = google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    toy.shard(1).write_bytes(data[:-INDEX] + index.tobytes() + checksum)
    with pytest.raises(
        FsarError, match=rf"an index beyond the {len(data)} bytes of the object.*fsar repair"
    ):
        reader.read(np.array([FILE_CLIPS]))


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100_000])
def test_a_bad_shard_of_an_earlier_attempt_is_replaced(make_toy, compression, content):
    toy = make_toy(compression=compression)
    zeros = toy.values.copy()
    zeros[:FILE_CLIPS, 1] = 0  # the shard of job 0 and view 1 has no file
    for view in (0, 1):
        toy.shard(0, view).parent.mkdir(parents=True, exist_ok=True)
        toy.shard(0, view).write_bytes(content)
    for job in range(toy.plan.jobs):
        toy.write(job, zeros)
    toy.seal()
    assert not toy.shard(0, view=1).exists()
    reader = StoreReader(toy.path, "features")
    np.testing.assert_array_equal(reader.read(np.arange(150)), zeros[:, 0])
    assert not reader.read(np.arange(FILE_CLIPS), view=1).any()
