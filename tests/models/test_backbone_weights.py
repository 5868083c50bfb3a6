"""Trained weights files: readable as plain state dicts, bound to their training, refused in the place of others."""

from __future__ import annotations

import hashlib

import pytest
import torch

from fsar_core.backbones.demo_cnn import DemoCNN
from fsar_core.components.weights import read_state_dict
from fsar_core.errors import FsarError
from fsar_core.models import backbone_weights
from fsar_core.specs import BackboneSpec
from fsar_core.storage.provenance import file_sha256, zip_damage

STATE = DemoCNN(dim=8).state_dict()


def spec_of(weights: str) -> BackboneSpec:
    return BackboneSpec(name="demo_cnn", params={"dim": 8}, weights=weights, version=1)


@pytest.fixture
def path(tmp_path):
    backbone_weights.save(tmp_path / "made.pt", STATE, "0123456789ab")
    return tmp_path / "made.pt"


def test_a_file_with_a_record_is_read_as_any_other(path):
    for found in (
        torch.load(path, weights_only=True),
        torch.load(path, weights_only=True, mmap=True),
        read_state_dict(path),
    ):
        assert found.keys() == STATE.keys()
        assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    loaded = DemoCNN(weights=path, dim=8).state_dict()
    assert all(torch.equal(loaded[name], STATE[name]) for name in STATE)
    assert zip_damage(path) is None


def test_equal_weights_are_equal_files(path, tmp_path):
    backbone_weights.save(tmp_path / "again.pt", dict(STATE), "0123456789ab")
    assert (tmp_path / "again.pt").read_bytes() == path.read_bytes()


def test_a_changed_record_is_found_as_a_changed_weight_is(path):
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0123456789ab", b"0123456789ac"))
    with pytest.raises(
        FsarError, match=r"made\.pt: damaged \('archive/fsar\.json' is not as its checksum says\)"
    ):
        read_state_dict(path)


def test_the_right_training_is_accepted(path):
    assert backbone_weights.training_of(path) == "0123456789ab"
    assert backbone_weights.checked_sha256(path, spec_of("trained:0123456789ab")) == file_sha256(
        path
    )


def test_weights_of_another_training_are_refused(path):
    with pytest.raises(FsarError) as error:
        backbone_weights.checked_sha256(path, spec_of("trained:ba9876543210"))
    assert str(error.value) == (
        f"{path}: weights of the training 0123456789ab, expected those of ba9876543210; make it again with "
        f"`snakemake --cores all -R train_backbone -- {path}`"
    )


@pytest.mark.parametrize(
    "write",
    [torch.save, lambda state, path: path.write_bytes(b"no zip file")],
    ids=["plain", "text"],
)
def test_files_without_a_record_are_not_compared(tmp_path, write):
    path = tmp_path / "old.pt"
    write(dict(STATE), path)
    assert backbone_weights.training_of(path) is None
    assert backbone_weights.checked_sha256(path, spec_of("trained:ba9876543210")) == file_sha256(
        path
    )


def test_a_file_of_ones_own_is_known_by_its_sha256(path):
    sha256 = file_sha256(path)
    assert backbone_weights.checked_sha256(str(path), spec_of(f"sha256:{sha256}")) == sha256
    with pytest.raises(
        FsarError, match=rf"made\.pt: its SHA-256 is {sha256}, expected 12; the file was replaced"
    ):
        backbone_weights.checked_sha256(path, spec_of("sha256:12"))


def test_random_weights_have_no_file():
    assert backbone_weights.checked_sha256(None, spec_of("torchvision:IMAGENET1K_V1")) is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FsarError, match=r"x\.pt: cannot be read \(No such file or directory\)"):
        backbone_weights.checked_sha256(tmp_path / "x.pt", spec_of("sha256:12"))


@pytest.mark.parametrize(
    ("backbone", "file"),
    [("resnet50", "resnet50-0676ba61.pth"), ("mobilenet_v2", "mobilenet_v2-b0353104.pth")],
)
def test_a_published_name_stands_for_the_file_in_the_cache(tmp_path, backbone, file):
    (tmp_path / file).write_bytes(b"as if downloaded")
    spec = BackboneSpec(name=backbone, weights="torchvision:IMAGENET1K_V1", version=1)
    found = backbone_weights.checked_sha256("IMAGENET1K_V1", spec, tmp_path)
    assert found == hashlib.sha256(b"as if downloaded").hexdigest()
