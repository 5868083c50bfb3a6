import os

import pytest
import torch
import torchvision
from torch import nn

from fsar_core.backbones.resnet50 import ResNet50
from fsar_core.components.registry import build, entry
from fsar_core.errors import FsarError

STRIDES = {
    "frames": (3, 1),
    "layer1": (256, 4),
    "layer2": (512, 8),
    "layer3": (1024, 16),
    "layer4": (2048, 32),
}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """torchvision's network with weights and statistics that are no defaults."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.8)
            for values in (module.bias, module.running_mean):
                nn.init.uniform_(values, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


@pytest.fixture(scope="module")
def stored(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def backbone(stored) -> ResNet50:
    return build("backbones", "resnet50", weights=str(stored)).eval()


def save(tmp_path, state):
    torch.save(state, tmp_path / "w.pth")
    return tmp_path / "w.pth"


@torch.inference_mode()
def test_every_cut_and_its_tail_are_torchvisions_network_without_the_last_two_layers(
    network, backbone
):
    images = torch.randint(
        256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (images.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    expected = nn.Sequential(*list(network.children())[:-2])(normalised)
    assert expected.shape == (2, 2048, 2, 3) and expected.std() > 1e-3
    for cut in ResNet50.cuts:
        torch.testing.assert_close(backbone.tail(cut)(backbone.to_cut(images, cut)), expected)


@torch.inference_mode()
def test_shapes_of_a_224_pixel_crop(backbone):
    images = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    shapes = {cut: tuple(backbone.to_cut(images, cut).shape) for cut in ResNet50.cuts}
    assert shapes == {
        cut: (1, dim, 224 // stride, 224 // stride) for cut, (dim, stride) in STRIDES.items()
    }
    assert shapes["layer4"] == (1, 2048, 7, 7)


def test_parameter_count(backbone):
    assert sum(p.numel() for p in backbone.parameters()) == 23_508_032


def test_cuts_of_the_source_text_are_those_of_the_module(backbone):
    found = entry("backbones", "resnet50").attributes
    assert found["cuts"] == backbone.cuts == tuple(STRIDES)
    assert found["trainable"] is False


def test_the_classifier_is_ignored(network, backbone, tmp_path):
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}
    without = ResNet50(save(tmp_path, state))
    other = ResNet50(
        save(tmp_path, state | {"fc.weight": torch.zeros(3, 2048), "fc.bias": torch.zeros(3)})
    )
    expected = backbone.state_dict()
    for found in (without.state_dict(), other.state_dict()):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_old_files_without_batch_counters_are_read(network, backbone, tmp_path):
    state = {
        key: value
        for key, value in network.state_dict().items()
        if "num_batches_tracked" not in key
    }
    assert len(state) == 320 - 53
    found = ResNet50(save(tmp_path, state)).state_dict()
    assert all(torch.equal(found[key], value) for key, value in backbone.state_dict().items())


def test_other_checkpoints_are_refused_by_their_first_difference(network, tmp_path):
    state = network.state_dict()
    without = {key: value for key, value in state.items() if not key.startswith("layer2.0.conv1")}
    with pytest.raises(
        FsarError,
        match=r"w\.pth: no weights of ResNet: lacks 'layer2\.0\.conv1\.weight' and 0 more$",
    ):
        ResNet50(save(tmp_path, without))
    prefixed = {f"module.{key}": torch.zeros(1) for key in state}
    with pytest.raises(
        FsarError, match=r"lacks 'conv1\.weight' and .*has the unknown 'module\.conv1\.weight' and"
    ):
        ResNet50(save(tmp_path, prefixed))
    with pytest.raises(FsarError, match=r"'bn1\.weight' is \(32,\), expected \(64,\)$"):
        ResNet50(save(tmp_path, state | {"bn1.weight": torch.zeros(32)}))


class Harmful:
    """Unpickling this would create a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_refused(tmp_path):
    path = save(tmp_path, {"conv1.weight": Harmful(tmp_path / "trap")})
    with pytest.raises(FsarError, match="weights_only=True"):
        ResNet50(path)
    assert not (tmp_path / "trap").exists()


def test_named_weights_are_the_published_files_checked_and_kept_below_the_root(
    network, tmp_path, monkeypatch
):
    calls = []

    def fetch(url, **options):
        calls.append((url.rsplit("/", 1)[-1], options))
        return network.state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    made = {name: ResNet50(name, weights_root=tmp_path) for name in ResNet50.published_weights}
    assert [name for name, _ in calls] == ["resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"]
    for _, options in calls:
        assert (
            options["model_dir"] == tmp_path and options["check_hash"] and options["weights_only"]
        )
    assert torch.equal(made["IMAGENET1K_V1"].stages["layer1"][0][0].weight, network.conv1.weight)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    def offline(url, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(
        FsarError,
        match=r"\(resnet50-0676ba61\.pth\) cannot be downloaded \(no route to host\); put that file into",
    ):
        ResNet50("IMAGENET1K_V1", weights_root=tmp_path)


def test_nothing_is_fetched_for_random_weights(monkeypatch):
    monkeypatch.setattr(
        torch.hub,
        "load_state_dict_from_url",
        lambda *a, **k: pytest.fail("a constructor downloads"),
    )
    torch.manual_seed(1)
    first = ResNet50()
    torch.manual_seed(2)
    assert not torch.equal(
        first.stages["layer2"][0].conv1.weight, ResNet50().stages["layer2"][0].conv1.weight
    )


def test_a_mistyped_name_is_no_file():
    with pytest.raises(FsarError, match="IMAGENET1K_V3: no such weights file"):
        ResNet50("IMAGENET1K_V3")


def test_a_file_under_a_published_name_must_be_that_file(tmp_path):
    """The name of a published file ends in the first digits of its SHA-256."""
    (tmp_path / "resnet50-0676ba61.pth").write_bytes(b"something else")
    with pytest.raises(
        FsarError, match=r"resnet50-0676ba61\.pth: not the published weights 'IMAGENET1K_V1'"
    ):
        build("backbones", "resnet50", weights="IMAGENET1K_V1", weights_root=tmp_path)
