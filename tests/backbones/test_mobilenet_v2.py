"""MobileNetV2: torchvision's network cut into stages, and TensorFlow's padding against a hand-written convolution."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from fsar_core.backbones.mobilenet_v2 import CUTS, MobilenetV2
from fsar_core.errors import FsarError
from fsar_core.registry import build, check, entry

STRIDES = {
    "frames": (3, 1),
    "layer1": (16, 2),
    "layer2": (24, 4),
    "layer3": (32, 8),
    "layer4": (96, 16),
    "layer5": (320, 32),
}
REAL = Path(__file__).parents[3] / "shared" / "real" / "weights" / "mobilenet_v2_imagenet_tfpad.pt"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.3, 1.0)
    return network


@pytest.fixture(scope="module")
def stored(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.pth"
    torch.save(network.state_dict(), path)
    return path


def images(size: int, count: int = 2) -> torch.Tensor:
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_every_cut_and_its_tail_are_torchvisions_features_without_the_last_convolution(network, stored):
    backbone = build("backbones", "mobilenet_v2", weights=str(stored)).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network.features[:18]((images(64) / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert expected.shape == (2, 320, 2, 2) and expected.std() > 1e-3
    for cut in CUTS:
        torch.testing.assert_close(backbone.tail(cut)(backbone.to_cut(images(64), cut)), expected)


@pytest.mark.parametrize("padding", ["torch", "tensorflow"])
@torch.inference_mode()
def test_shapes_of_a_224_pixel_crop(padding):
    backbone = MobilenetV2(padding=padding).eval()
    shapes = {cut: tuple(backbone.to_cut(images(224, 1), cut).shape[1:]) for cut in CUTS}
    assert shapes == {cut: (dim, 224 // stride, 224 // stride) for cut, (dim, stride) in STRIDES.items()}


def test_cuts_of_the_source_text_are_those_of_the_module():
    assert list(entry("backbones", "mobilenet_v2").attributes["cuts"]) == MobilenetV2().cuts == list(STRIDES)


@torch.inference_mode()
def test_tensorflow_pads_right_and_below_only(stored):
    """The first convolution, output (0, 0): its window starts at pixel (0, 0), not at (-1, -1)."""
    ours, theirs = (MobilenetV2(stored, padding=p).eval() for p in ("tensorflow", "torch"))
    weight = theirs.stages["layer1"][0][0].weight
    batch = ours.normalise(images(8, 1))
    found = ours.stages["layer1"][0][0](batch)
    assert found.shape == (1, 32, 4, 4)
    torch.testing.assert_close(found[0, :, 0, 0], (weight * batch[0, :, :3, :3]).sum((1, 2, 3)))
    # the last window leaves the picture by one pixel, which counts as 0
    torch.testing.assert_close(found[0, :, 3, 3], (weight[..., :2, :2] * batch[0, :, 6:, 6:]).sum((1, 2, 3)))
    assert not torch.allclose(found, theirs.stages["layer1"][0][0](batch))
    # every one of the five convolutions with stride 2 is changed
    padded = [m for m in ours.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(padded) == 5 and {m.padding for m in padded} == {(0, 0)}


def test_mistakes(stored, tmp_path):
    with pytest.raises(FsarError, match="padding"):
        MobilenetV2(padding="same")
    with pytest.raises(FsarError, match="padding"):
        check("backbones", "mobilenet_v2", {"padding": "same"})
    torch.save({"features.0.0.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "w.pt")
    with pytest.raises(FsarError, match=r"w\.pt: no weights of MobileNetV2: lacks 'features\.0\.1\.weight'"):
        MobilenetV2(tmp_path / "w.pt")


def test_named_weights_are_the_published_files(network, tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda url, **o: fetched.append(url) or network.state_dict()
    )
    for name in ("IMAGENET1K_V1", "IMAGENET1K_V2"):
        MobilenetV2(name, weights_root=tmp_path)
    assert [url.rsplit("/", 1)[-1] for url in fetched] == ["mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth"]


@pytest.mark.skipif(not REAL.exists(), reason=f"real weights are not at {REAL}")
@torch.inference_mode()
def test_real_weights_load():
    backbone = MobilenetV2(REAL, padding="tensorflow").eval()
    features = backbone.to_cut(images(64), "layer5")
    assert torch.isfinite(features).all() and 0.1 < features.std() < 10
