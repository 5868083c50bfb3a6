"""Verifying: a flipped byte is found, its job is named, and doing what the message says mends the store."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from fsar_core.cli import verify
from fsar_core.errors import FsarError
from fsar_core.stores.verify import damaged_jobs


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_sound_store(sealed, capsys):
    assert damaged_jobs(sealed.path) == {}
    verify.run(Namespace(store=sealed.path))
    assert capsys.readouterr().out == f"{sealed.path}: every file is as its receipt says\n"


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_byte_names_its_job(sealed, position):
    _flip(sealed.shard(1, view=1), position)
    assert damaged_jobs(sealed.path) == {1: "data.zarr/features/c/1/1/0/0/0/0: bytes differ from the receipt's sha256"}


def test_every_damaged_job_is_named(sealed):
    _flip(sealed.shard(2), 5)
    sealed.shard(0).unlink()
    assert damaged_jobs(sealed.path) == {
        0: "data.zarr/features/c/0/0/0/0/0/0: missing",
        2: "data.zarr/features/c/2/0/0/0/0/0: bytes differ from the receipt's sha256",
    }


def test_the_message_says_how_to_mend_it(sealed):
    before = (sealed.path / "manifest.json").read_bytes()
    _flip(sealed.shard(1), 30)
    with pytest.raises(FsarError) as error:
        verify.run(Namespace(store=sealed.path))
    assert str(error.value) == (
        f"{sealed.path}: 1 damaged jobs, first 1 (data.zarr/features/c/1/0/0/0/0/0: bytes differ from the receipt's "
        f"sha256); mend with: rm -f {sealed.path / 'manifest.json'} {sealed.receipt(1)}; "
        f"then run the same snakemake command again"
    )
    (sealed.path / "manifest.json").unlink()
    sealed.receipt(1).unlink()
    sealed.write(1)
    sealed.seal()
    assert damaged_jobs(sealed.path) == {}
    assert (sealed.path / "manifest.json").read_bytes() == before


def test_an_unfinished_store(toy):
    toy.write(0)
    with pytest.raises(FsarError) as error:
        damaged_jobs(toy.path)
    assert str(error.value) == f"{toy.receipt(1)}: missing; run snakemake to finish this store"
