import pytest
import torch

from fsar_core.backbones.demo_vit import DemoViT
from fsar_core.components.registry import build, entry
from fsar_core.errors import FsarError
from fsar_core.specs import Component
from fsar_core.training.tsn import train_backbone
from tests.training.test_tsn import CPU, clips, spec_of  # noqa: F401


def images(size: int) -> torch.Tensor:
    return torch.randint(
        256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(("dim", "size", "tokens"), [(64, 64, 65), (8, 64, 65), (8, 16, 5)])
@torch.inference_mode()
def test_shapes(dim, size, tokens):
    backbone = DemoViT(dim=dim).eval()
    shapes = [tuple(backbone.to_cut(images(size), cut).shape[1:]) for cut in DemoViT.cuts]
    assert shapes == [(3, size, size), *[(dim, tokens, 1)] * 5, (dim, 1, 1)]


@pytest.mark.parametrize("dim", [8, 64])
def test_parameter_count(dim):
    """Patches, class token, positions and two norms; a block: four dim x dim of attention, eight of the MLP, biases, norms."""
    block = 12 * dim * dim + (3 + 1 + 4 + 1) * dim + 4 * dim
    expected = 3 * 8 * 8 * dim + dim + 65 * dim + 2 * 2 * dim + 4 * block
    assert sum(p.numel() for p in DemoViT(dim=dim).parameters()) == expected


def test_cuts_of_the_source_text_are_those_of_the_module():
    assert entry("backbones", "demo_vit").attributes["cuts"] == DemoViT().cuts == DemoViT.cuts
    assert entry("backbones", "demo_vit").attributes["trainable"] is True


@torch.inference_mode()
def test_every_cut_and_its_tail_are_the_whole_network():
    torch.manual_seed(0)
    backbone = DemoViT(dim=8).eval()
    whole = backbone.to_cut(images(64), "pooled")
    assert (whole[0] != whole[1]).all()
    for cut in DemoViT.cuts:
        torch.testing.assert_close(backbone.tail(cut)(backbone.to_cut(images(64), cut)), whole)


@pytest.mark.parametrize("dim", [0, 4, 10, -8])
def test_impossible_dims_are_refused(dim):
    with pytest.raises(
        FsarError,
        match=f"demo_vit: dim={dim} is not valid; valid: whole numbers from 8 that are multiples of 4",
    ):
        DemoViT(dim=dim)


def test_a_crop_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(
        FsarError, match="a crop of 60 x 60 pixels; expected multiples of the patch of 8 pixels"
    ):
        DemoViT(dim=8).to_cut(images(60), "tokens")


def test_the_pipeline_trains_it(clips):  # noqa: F811
    """As test_tsn does with the CNN: three colours, learnt from positions of another size (crop 16)."""
    spec = spec_of(backbone=Component(name="demo_vit", params={"dim": 8}), epochs=12)
    state, history = train_backbone(spec, *clips, CPU)
    assert history[-1]["accuracy"] >= 0.9 and history[-1]["loss"] < 0.5 * history[0]["loss"]
    backbone = DemoViT(dim=8).eval()
    backbone.load_state_dict(state)
    with torch.inference_mode():
        seen = torch.from_numpy(clips[0][:, 0, 2:18, 2:18].transpose(0, 3, 1, 2))
        features = backbone.to_cut(seen, "pooled")[..., 0, 0]
    centres = torch.stack([features[clips[1] == label].mean(0) for label in range(3)])
    assert (torch.cdist(features, centres).argmin(1).numpy() == clips[1]).mean() > 0.9


def test_training_reaches_every_parameter(clips):  # noqa: F811
    spec = spec_of(backbone=Component(name="demo_vit", params={"dim": 8}), epochs=1)
    state, _ = train_backbone(spec, *clips, CPU)
    longer, _ = train_backbone(spec.model_copy(update={"epochs": 2}), *clips, CPU)
    assert state.keys() == DemoViT(dim=8).state_dict().keys()
    assert all((state[key] != longer[key]).any() for key in state)
    assert all(value.isfinite().all() for value in longer.values())


def test_weights_come_from_the_file(tmp_path):
    torch.manual_seed(0)
    first = DemoViT(dim=8).eval()
    torch.save(first.state_dict(), tmp_path / "w.pt")
    second = build("backbones", "demo_vit", weights=str(tmp_path / "w.pt"), dim=8).eval()
    torch.testing.assert_close(
        second.to_cut(images(16), "pooled"), first.to_cut(images(16), "pooled"), rtol=0, atol=0
    )
    with pytest.raises(
        FsarError, match=r"'stages\.tokens\.class_embedding' is \(8,\), expected \(16,\)"
    ):
        DemoViT(tmp_path / "w.pt", dim=16)


def test_larger_patches_give_fewer_tokens():
    assert DemoViT(dim=8, patch=16).to_cut(images(64), "tokens").shape[1:] == (8, 17, 1)
    for patch in (0, 24):
        with pytest.raises(
            FsarError, match=f"demo_vit: patch={patch} is not valid; valid: 1, 2, 4, 8, 16, 32, 64"
        ):
            DemoViT(dim=8, patch=patch)
