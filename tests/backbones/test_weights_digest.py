"""Which file weights come from, and its digest."""

from __future__ import annotations

import hashlib

import pytest

from fsar_core.backbones._trained import weights_sha256
from fsar_core.errors import FsarError


@pytest.mark.parametrize(
    ("backbone", "file"),
    [("resnet50", "resnet50-0676ba61.pth"), ("mobilenet_v2", "mobilenet_v2-b0353104.pth")],
)
def test_a_published_name_stands_for_the_file_in_the_cache(tmp_path, backbone, file):
    (tmp_path / file).write_bytes(b"as if downloaded")
    assert weights_sha256(backbone, "IMAGENET1K_V1", tmp_path) == hashlib.sha256(b"as if downloaded").hexdigest()


def test_a_local_file(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"x")
    assert weights_sha256("demo_cnn", path, None) == hashlib.sha256(b"x").hexdigest()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FsarError, match=r"x\.pt: cannot be read \(No such file or directory\)"):
        weights_sha256("resnet50", tmp_path / "x.pt", tmp_path)
