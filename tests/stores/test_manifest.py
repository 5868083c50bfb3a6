"""Sealing: what the manifest says, and every reason not to write it."""

from __future__ import annotations

import json

import pytest

from fsar_core.errors import FsarError
from fsar_core.stores.manifest import read_json, read_manifest


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def _refused(toy, max_failures: float = 0.0) -> str:
    message = _failure(lambda: toy.seal(max_failures))
    assert not (toy.path / "manifest.json").exists()
    return message


def test_a_manifest_sums_up_the_receipts(make_toy):
    toy = make_toy(broken=(5, 140))
    receipts = [toy.write(job) for job in range(3)]
    value = toy.seal(max_failures=0.02)
    assert read_manifest(toy.path) == value
    assert (value["clips"], value["views"], value["layout"]) == (150, 2, 1)
    assert value["spec"] == toy.spec.model_dump(mode="json")
    assert [entry["row"] for entry in value["failures"]] == [5, 140]
    assert value["failures"][1] == {"row": 140, "path": toy.index.path[140], "problem": "empty file"}
    assert (
        value["files"] == receipts[0]["files"] | receipts[1]["files"] | receipts[2]["files"]
        and len(value["files"]) == 5
    )
    sizes = [path.stat().st_size for path in (toy.path / "data.zarr/features/c").rglob("*") if path.is_file()]
    assert value["bytes"] == sum(sizes) > 0


def test_equal_stores_have_equal_manifests(make_toy):
    one, other = make_toy("one").fill(), make_toy("other").fill()
    assert one.seal() == other.seal()
    assert (one.path / "manifest.json").read_bytes() == (other.path / "manifest.json").read_bytes()
    changed = make_toy("changed")
    changed.values[10, 0, 0, 0, 0, 0] += 1
    assert changed.fill().seal()["content"] != one.seal()["content"]


def test_a_missing_receipt(toy):
    toy.write(0), toy.write(2)
    assert _refused(toy) == f"{toy.receipt(1)}: missing; job 1 of this store is not done; run snakemake again"


@pytest.mark.parametrize("text", ['{"rows": [64, 1', "[]", "null"])
def test_a_damaged_receipt(toy, text):
    toy.fill().receipt(1).write_text(text)
    message = _refused(toy)
    assert message.startswith(f"{toy.receipt(1)}: damaged (no JSON") and "remove it" in message


def test_a_receipt_of_other_rows(toy):
    toy.fill()
    value = json.loads(toy.receipt(1).read_text())
    toy.receipt(1).write_text(json.dumps(value | {"rows": [64, 100]}))
    assert _refused(toy) == (f"{toy.receipt(1)}: rows [64, 100], expected [64, 128]; remove the receipt and run again")


def test_a_missing_shard_file(toy):
    toy.fill().shard(1).unlink()
    message = _refused(toy)
    assert message.startswith(f"{toy.shard(1)}: missing, expected ") and f"`fsar verify {toy.path}`" in message


def test_a_shard_file_of_another_size(toy):
    size = toy.fill().shard(2).stat().st_size
    with open(toy.shard(2), "ab") as stream:
        stream.write(b"x")
    assert _refused(toy).startswith(f"{toy.shard(2)}: {size + 1} bytes, expected {size} bytes; the store is damaged")


def test_failures_are_bounded_by_the_card(make_toy):
    toy = make_toy(broken=(7, 8, 130)).fill()
    assert _refused(toy, 0.019) == (
        f"{toy.path}: 3 of 150 clips failed, first '{toy.index.path[7]}': empty file; "
        f"expected at most 1.9% (max_failures in the card)"
    )
    assert len(toy.seal(0.02)["failures"]) == 3


def test_an_unsealed_store(toy):
    assert _failure(lambda: read_manifest(toy.fill().path)) == (
        f"{toy.path}/manifest.json: missing; the store is not complete; run snakemake again to finish it"
    )


def test_read_json(tmp_path):
    path = tmp_path / "value.json"
    path.write_text('{"a": 1}')
    assert read_json(path, "do this") == {"a": 1}
    path.write_bytes(b"\xff\xfe")
    assert _failure(lambda: read_json(path, "do this")) == f"{path}: damaged (no JSON); remove it; do this"
