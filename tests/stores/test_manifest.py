"""Sealing: what the manifest says, and every reason not to write it."""

from __future__ import annotations

import hashlib
import json

import pytest

from fsar_core.errors import FsarError
from fsar_core.maintenance.verify import check
from fsar_core.storage.provenance import write_json
from fsar_core.stores.layout import Plan
from fsar_core.stores.manifest import PLANNED, lost_clips, read_manifest, read_receipt
from fsar_core.stores.reader import StoreReader


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
    assert value["failures"][1] == {
        "row": 140,
        "path": toy.index.path[140],
        "problem": "empty file",
    }
    assert (
        value["files"] == receipts[0]["files"] | receipts[1]["files"] | receipts[2]["files"]
        and len(value["files"]) == 5
    )
    sizes = [
        path.stat().st_size
        for path in (toy.path / "data.zarr/features/c").rglob("*")
        if path.is_file()
    ]
    assert value["bytes"] == sum(sizes) > 0
    # Everything that is needed to write the plan, or to know that Zarr's own files are as they were.
    assert Plan(**{name: value[name] for name in PLANNED}) == toy.plan
    assert value["metadata"] == {
        key: hashlib.sha256((toy.path / key).read_bytes()).hexdigest()
        for key in ("data.zarr/zarr.json", "data.zarr/features/zarr.json")
    }


def test_equal_stores_have_equal_manifests(make_toy):
    one, other = make_toy("one").fill(), make_toy("other").fill()
    assert one.seal() == other.seal()
    assert (one.path / "manifest.json").read_bytes() == (other.path / "manifest.json").read_bytes()
    changed = make_toy("changed")
    changed.values[10, 0, 0, 0, 0, 0] += 1
    assert changed.fill().seal()["content"] != one.seal()["content"]


def test_a_missing_receipt(toy):
    toy.write(0), toy.write(2)
    assert (
        _refused(toy)
        == f"{toy.receipt(1)}: missing; job 1 of this store is not done; run snakemake again"
    )


@pytest.mark.parametrize("text", ['{"rows": [64, 1', "[]", "null"])
def test_a_damaged_receipt(toy, text):
    toy.fill().receipt(1).write_text(text)
    message = _refused(toy)
    assert message.startswith(f"{toy.receipt(1)}: damaged (no JSON")
    assert message.endswith(f"mend it with `fsar repair {toy.receipt(1)}`")


def test_a_receipt_of_other_rows(toy):
    toy.fill()
    write_json(toy.receipt(1), read_receipt(toy.path, 1) | {"rows": [64, 100]})
    assert _refused(toy) == (
        f"{toy.receipt(1)}: rows [64, 100], expected [64, 128]; remove the receipt and run again"
    )


def test_a_missing_shard_file(toy):
    toy.fill().shard(1).unlink()
    message = _refused(toy)
    assert message.startswith(f"{toy.shard(1)}: missing, expected ")
    assert message.endswith(f"mend it with `fsar repair {toy.path}`")


def test_a_shard_file_of_another_size(toy):
    size = toy.fill().shard(2).stat().st_size
    with open(toy.shard(2), "ab") as stream:
        stream.write(b"x")
    assert _refused(toy).startswith(
        f"{toy.shard(2)}: {size + 1} bytes, expected {size} bytes; the store is damaged"
    )


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


def test_a_changed_receipt_is_no_base_for_a_seal(toy):
    toy.fill()
    text = toy.receipt(1).read_text()
    toy.receipt(1).write_text(
        text.replace('"failures": []', '"failures": [{"row": 70, "path": "", "problem": ""}]')
    )
    assert _refused(toy) == (
        f"{toy.receipt(1)}: damaged (its content is not that of its sha256); mend it with `fsar repair {toy.receipt(1)}`"
    )


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (2, "the store has layout 2, and this fsar knows layouts up to 1: open it with the fsar that wrote it (or a later one), "
            "or move {store} away and run snakemake to make it anew"),
        (0, "damaged (layout 0); mend it with `fsar repair {store}`"),
        ("1", "damaged (layout '1'); mend it with `fsar repair {store}`"),
    ],
)  # fmt: skip
def test_a_manifest_of_another_layout(sealed, layout, words):
    path = sealed.path / "manifest.json"
    write_json(path, json.loads(path.read_text()) | {"layout": layout})
    assert (
        _failure(lambda: read_manifest(sealed.path)) == f"{path}: {words.format(store=sealed.path)}"
    )


def _from(toy, inputs: list[dict | None]):
    for job, value in enumerate(inputs):
        toy.write(job, inputs=value)
    return toy


def test_a_manifest_says_what_its_store_was_made_from(make_toy):
    inputs = [
        {"index": "i", "weights": "w", "frames": str(job), "versions": {"torch": "1"}}
        for job in range(3)
    ]
    toy = _from(make_toy("a"), inputs)
    sealed = toy.seal()
    assert sealed["inputs"] == {"index": "i", "weights": "w", "jobs": sealed["inputs"]["jobs"]}
    assert StoreReader(toy.path, "features", toy.spec).inputs["weights"] == "w"
    inputs[1]["versions"] = {"torch": "2"}  # the same bytes by another version are the same store
    assert _from(make_toy("b"), inputs).seal() == sealed
    inputs[1]["frames"] = "other"
    assert _from(make_toy("c"), inputs).seal()["inputs"]["jobs"] != sealed["inputs"]["jobs"]


def test_a_store_with_receipts_of_before_inputs_were_recorded(make_toy):
    assert "inputs" not in make_toy("a").fill().seal()
    assert "inputs" not in _from(make_toy("b"), [{"index": "i"}, None, {"index": "i"}]).seal()
    assert StoreReader(make_toy("a").path, "features").inputs == {}


@pytest.mark.parametrize(("name", "what"), [("index", "clip index"), ("weights", "weights")])
def test_jobs_made_from_different_things_are_no_store(toy, name, what):
    usual = {"index": "i", "weights": "w"}
    _from(toy, [usual, usual, usual | {name: "other"}])
    assert _refused(toy) == (
        f"{toy.receipt(2)}: made from another {what} than the store's other jobs; make it again with "
        f"`snakemake -R {toy.receipt(2)} -- {toy.path}/manifest.json`"
    )


LOST = {"row": 70, "path": "a.mp4", "problem": "the decoder crashed (SIGKILL)", "lost": True}


def _with_a_lost_clip(toy):
    toy.fill()
    write_json(toy.receipt(1), read_receipt(toy.path, 1) | {"failures": [LOST]})
    return toy


def test_a_lost_clip_counts_as_failed_and_can_be_tried_again(toy):
    command = f"snakemake -R {toy.receipt(1)} -- {toy.path}/manifest.json"
    assert _refused(_with_a_lost_clip(toy)) == (
        f"{toy.path}: 1 of 150 clips failed, first 'a.mp4': the decoder crashed (SIGKILL); expected at most 0.0% "
        f"(max_failures in the card); 1 of them were lost with the decoder and may succeed in another attempt: `{command}`"
    )
    assert toy.seal(0.1)["failures"] == [LOST]
    assert lost_clips(toy.path) == (
        f"1 clip was lost with the decoder, first 'a.mp4' (the decoder crashed (SIGKILL)); try again with `{command}`"
    )
    assert command in check(toy.path).note and check(toy.path).faults == []


def test_a_store_without_lost_clips_says_nothing_of_them(make_toy):
    toy = make_toy(broken=(7,)).fill()
    toy.seal(0.1)
    assert lost_clips(toy.path) == "" and check(toy.path).note == "sound"
