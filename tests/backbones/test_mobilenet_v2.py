"""MobileNetV2: torchvision's network cut into stages, and TensorFlow's padding against a hand-written convolution."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from fsar_core.backbones.mobilenet_v2 import MobilenetV2
from fsar_core.components.registry import build, check, entry
from fsar_core.errors import FsarError
from tests.builders import shared

STRIDES = {
    "frames": (3, 1),
    "layer1": (16, 2),
    "layer2": (24, 4),
    "layer3": (32, 8),
    "layer4": (96, 16),
    "layer5": (320, 32),
}
REAL = "real/weights/mobilenet_v2_imagenet_tfpad.pt"
# Table 2 of the paper: expansion, channels, blocks and first stride of every group of blocks.
GROUPS = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


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
    return torch.randint(
        256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@torch.inference_mode()
def test_every_cut_and_its_tail_are_torchvisions_features_without_the_last_convolution(
    network, stored
):
    backbone = build("backbones", "mobilenet_v2", weights=str(stored)).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network.features[:18]((images(64) / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert expected.shape == (2, 320, 2, 2) and expected.std() > 1e-3
    for cut in MobilenetV2.cuts:
        torch.testing.assert_close(backbone.tail(cut)(backbone.to_cut(images(64), cut)), expected)


@pytest.mark.parametrize("padding", ["torch", "tensorflow"])
@torch.inference_mode()
def test_shapes_of_a_224_pixel_crop(padding):
    backbone = MobilenetV2(padding=padding).eval()
    shapes = {
        cut: tuple(backbone.to_cut(images(224, 1), cut).shape[1:]) for cut in MobilenetV2.cuts
    }
    assert shapes == {
        cut: (dim, 224 // stride, 224 // stride) for cut, (dim, stride) in STRIDES.items()
    }


def test_cuts_of_the_source_text_are_those_of_the_module():
    assert (
        entry("backbones", "mobilenet_v2").attributes["cuts"]
        == MobilenetV2().cuts
        == tuple(STRIDES)
    )


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
    torch.testing.assert_close(
        found[0, :, 3, 3], (weight[..., :2, :2] * batch[0, :, 6:, 6:]).sum((1, 2, 3))
    )
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
    with pytest.raises(
        FsarError, match=r"w\.pt: no weights of MobileNetV2: lacks 'features\.0\.1\.weight'"
    ):
        MobilenetV2(tmp_path / "w.pt")


def test_named_weights_are_the_published_files(network, tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        torch.hub,
        "load_state_dict_from_url",
        lambda url, **o: fetched.append(url) or network.state_dict(),
    )
    for name in ("IMAGENET1K_V1", "IMAGENET1K_V2"):
        MobilenetV2(name, weights_root=tmp_path)
    assert [url.rsplit("/", 1)[-1] for url in fetched] == [
        "mobilenet_v2-b0353104.pth",
        "mobilenet_v2-7ebf99e0.pth",
    ]


def by_hand(state: dict[str, Tensor], pictures: Tensor, padding: str) -> Tensor:
    """Features before the last 1x1 convolution in double precision, layer by layer from a state dict."""

    def layer(
        x: Tensor, convolution: str, norm: str, stride: int = 1, activated: bool = True
    ) -> Tensor:
        weight = state[f"{convolution}.weight"].double()
        kernel = weight.shape[-1]
        before = 0 if kernel == 1 or (stride == 2 and padding == "tensorflow") else 1
        after = 1 if kernel == 3 else 0
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(F.pad(x, (before, after, before, after)), weight, stride=stride, groups=groups)
        mean, var, scale, shift = (
            state[f"{norm}.{name}"].double().view(-1, 1, 1)
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (var + 1e-5).sqrt() * scale + shift
        return x.clamp(0, 6) if activated else x

    mean, std = (
        torch.tensor([0.485, 0.456, 0.406]).double(),
        torch.tensor([0.229, 0.224, 0.225]).double(),
    )
    x = (pictures.double() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    x = layer(x, "features.0.0", "features.0.1", stride=2)
    block = 0
    for expansion, channels, count, first_stride in GROUPS:
        for number in range(count):
            block += 1
            stride = first_stride if number == 0 else 1
            name, y = f"features.{block}.conv", x
            if expansion > 1:
                y = layer(y, f"{name}.0.0", f"{name}.0.1")
            depthwise, projection = (0, 1) if expansion == 1 else (1, 2)
            y = layer(y, f"{name}.{depthwise}.0", f"{name}.{depthwise}.1", stride)
            y = layer(y, f"{name}.{projection}", f"{name}.{projection + 1}", activated=False)
            x = x + y if stride == 1 and x.shape[1] == channels else y
    return x


@pytest.mark.parametrize("padding", ["torch", "tensorflow"])
@torch.inference_mode()
def test_features_are_those_computed_layer_by_layer(network, stored, padding):
    backbone = MobilenetV2(stored, padding=padding).double().eval()
    pictures = images(70)
    features = backbone.tail("frames")(backbone.to_cut(pictures, "frames"))
    torch.testing.assert_close(
        features.double(), by_hand(network.state_dict(), pictures, padding), rtol=1e-4, atol=1e-5
    )


@pytest.mark.shared(REAL, checks="features of MobileNetV2 with real weights")
@torch.inference_mode()
def test_features_of_real_weights():
    """Equal to those computed layer by layer; and to fixed numbers, which tell if the weights file is another one."""
    backbone = MobilenetV2(shared(REAL), padding="tensorflow").eval()
    state = torch.load(shared(REAL), weights_only=True)
    features = backbone.to_cut(images(64), "layer5")
    torch.testing.assert_close(
        features.double(), by_hand(state, images(64), "tensorflow"), rtol=1e-4, atol=1e-4
    )
    assert features.mean().item() == pytest.approx(0.127819, abs=1e-5)
    assert features.std().item() == pytest.approx(1.585279, abs=1e-4)
