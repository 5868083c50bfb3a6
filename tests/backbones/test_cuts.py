"""One network cut at several places: the same weights give the same logits, whatever of them is cached."""

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from fsar_core.backbones.demo_cnn import DemoCNN
from fsar_core.components.registry import build
from fsar_core.episodes.loader import EpisodeFeatures
from fsar_core.models.episode_model import EpisodeModel

WAY, SHOT, QUERY, FRAMES = 2, 1, 2, 2
BACKBONES = {
    "resnet50": ({}, ("frames", "layer3", "layer4"), 2048),
    "demo_vit": ({"dim": 16}, ("frames", "tokens", "block2", "pooled"), 16),
    "demo_cnn": ({"dim": 8}, ("frames", "layer1", "layer4"), 8),
}
HEADS = {"identity": {}, "dmgal": {"r1": 4, "r2": 4}}


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request):
    """(network, cuts, dim), with BatchNorm statistics that are no defaults."""
    params, cuts, dim = BACKBONES[request.param]
    torch.manual_seed(0)
    network = build("backbones", request.param, **params).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network, cuts, dim


def frames(shape: tuple[int, ...], seed: int, side: int = 64) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(256, (*shape, FRAMES, 3, side, side), dtype=torch.uint8, generator=random)


def episode(network, cut: str) -> EpisodeFeatures:
    """One episode as a store at `cut` would hold it."""

    def at_cut(clips: Tensor) -> Tensor:
        found = network.to_cut(clips.flatten(0, -4), cut)
        return found.reshape(*clips.shape[:-3], *found.shape[1:])

    support, query = frames((1, WAY, SHOT), 1), frames((1, QUERY), 2)
    return EpisodeFeatures(at_cut(support), at_cut(query), torch.tensor([[0, 1]]))


def head_of(name: str, dim: int) -> nn.Module:
    """A head away from its start, where DMGAL's attention counts for nothing (λ = 0)."""
    torch.manual_seed(1)
    head = build(
        "heads", name, **({"dim": dim, "frames": FRAMES} if name == "dmgal" else {}), **HEADS[name]
    )
    for parameter in head.parameters():
        if not parameter.any():
            nn.init.uniform_(parameter, 0.2, 0.6)
    return head


@pytest.mark.parametrize("head", HEADS)
@torch.inference_mode()
def test_every_cut_gives_the_same_logits(backbone, head):
    network, cuts, dim = backbone
    head, found = head_of(head, dim), {}
    for cut in cuts:
        model = EpisodeModel(network.tail(cut), head, build("matching", "otam")).eval()
        found[cut] = model(episode(network, cut))[0]
    first = found["frames"]
    assert first.shape == (1, QUERY, WAY) and first.std() > 1e-4
    for cut in cuts[1:]:
        torch.testing.assert_close(found[cut], first, rtol=1e-4, atol=1e-5)


def test_a_frozen_tail_keeps_its_statistics_in_training_and_a_trained_one_does_not():
    """Behind the cut BatchNorm normalises by running statistics, or by those of all frames of the support or the queries."""
    torch.manual_seed(0)
    network = DemoCNN(dim=8).eval()
    features, clips = episode(network, "layer3"), frames((1, WAY, SHOT), 1)
    norm = network.stages["layer4"][1]
    parts = build("heads", "identity"), build("matching", "otam")
    expected, before = network.to_cut(clips.flatten(0, -4), "layer4"), norm.running_mean.clone()

    frozen = EpisodeModel(network.tail("layer3"), *parts).train()
    torch.testing.assert_close(frozen.through_tail(features.support).flatten(0, -4), expected)
    assert torch.equal(norm.running_mean, before)

    trained = EpisodeModel(network.tail("layer3"), *parts, train_tail=True).train()
    found = trained.through_tail(features.support).flatten(0, -4)
    hidden = network.stages["layer4"][0](network.to_cut(clips.flatten(0, -4), "layer3"))
    rows = rearrange(hidden, "images dim height width -> dim (images height width)")
    by_hand = (hidden - rows.mean(1).view(-1, 1, 1)) / (
        rows.var(1, unbiased=False).view(-1, 1, 1) + norm.eps
    ).sqrt()
    torch.testing.assert_close(found, by_hand.relu(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * rows.mean(1))
