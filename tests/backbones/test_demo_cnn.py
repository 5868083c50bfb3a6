import pytest
import torch

from fsar_core.backbones.demo_cnn import DemoCNN
from fsar_core.components.registry import build, entry
from fsar_core.errors import FsarError


@pytest.mark.parametrize(
    ("dim", "shapes"),
    [
        (128, [(3, 64, 64), (32, 32, 32), (64, 16, 16), (128, 8, 8), (128, 4, 4)]),
        (8, [(3, 64, 64), (2, 32, 32), (4, 16, 16), (8, 8, 8), (8, 4, 4)]),
    ],
)
def test_shapes_of_a_64_pixel_crop(dim, shapes):
    backbone = DemoCNN(dim=dim).eval()
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    assert [tuple(backbone.to_cut(images, cut).shape[1:]) for cut in DemoCNN.cuts] == shapes


@pytest.mark.parametrize("dim", [8, 128])
def test_parameter_count(dim):
    """3x3 convolutions without bias, and BatchNorm's two numbers a channel."""
    quarter, half = dim // 4, dim // 2
    expected = 9 * (3 * quarter + quarter * half + half * dim + dim * dim) + 2 * (
        quarter + half + dim + dim
    )
    assert sum(p.numel() for p in DemoCNN(dim=dim).parameters()) == expected


def test_cuts_of_the_source_text_are_those_of_the_module():
    assert entry("backbones", "demo_cnn").attributes["cuts"] == DemoCNN().cuts == DemoCNN.cuts
    assert entry("backbones", "demo_cnn").attributes["trainable"] is True


@pytest.mark.parametrize("dim", [0, 4, 10, -8, 7])
def test_impossible_dims_are_refused(dim):
    with pytest.raises(
        FsarError,
        match=f"dim={dim} is not valid; valid: whole numbers from 8 that are multiples of 4",
    ):
        DemoCNN(dim=dim)


def test_weights_come_from_the_file(tmp_path):
    torch.manual_seed(0)
    first = DemoCNN(dim=8).eval()
    torch.save(first.state_dict(), tmp_path / "w.pt")
    second = build("backbones", "demo_cnn", weights=str(tmp_path / "w.pt"), dim=8).eval()
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(
        second.to_cut(images, "layer4"), first.to_cut(images, "layer4"), rtol=0, atol=0
    )
    assert (DemoCNN(dim=8).eval().to_cut(images, "layer1") != first.to_cut(images, "layer1")).any()


def test_weights_of_another_dim_are_refused(tmp_path):
    torch.save(DemoCNN(dim=8).state_dict(), tmp_path / "w.pt")
    with pytest.raises(
        FsarError, match=r"'stages\.layer1\.0\.weight' is \(2, 3, 3, 3\), expected \(4, 3, 3, 3\)"
    ):
        DemoCNN(tmp_path / "w.pt", dim=16)
