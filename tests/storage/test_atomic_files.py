"""What `atomic_write` hands to the disk before it renames the file."""

import os

import pytest

from fsar_core.storage import provenance
from fsar_core.storage.provenance import atomic_write


@pytest.mark.parametrize(("mode", "content"), [("w", "a few words"), ("wb", b"a few bytes")])
def test_everything_is_written_before_the_disk_is_asked_to_keep_it(
    tmp_path, monkeypatch, mode, content
):
    """After a power cut a file that was renamed before its buffer was written would be empty."""
    sizes = []
    monkeypatch.setattr(
        provenance.os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size)
    )
    with atomic_write(tmp_path / "file", mode) as stream:
        stream.write(content)
    assert sizes == [len(content)]
