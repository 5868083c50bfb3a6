"""A small frozen vision transformer, episodes of its tokens, and what all its adapters are compared with."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from fsar_core.components.registry import build
from fsar_core.episodes.loader import EpisodeFeatures
from fsar_core.layers.vision_transformer import Block, ClassToken
from fsar_core.models.episode_model import EpisodeModel
from tests.oracles import adapters as oracle
from tests.oracles.dmgal import part

DIM, HEADS, FRAMES, TOKENS = 8, 2, 3, 5


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic away from its initial value, in double precision, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator) * 0.3)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return module.double().eval()


def tail(depth: int = 2, dim: int = DIM, seed: int = 0) -> nn.Sequential:
    """Blocks and a class token with random weights, frozen."""
    torch.manual_seed(seed)
    stages = nn.Sequential(*(Block(dim, HEADS) for _ in range(depth)), ClassToken(dim))
    return shaken(stages, seed).requires_grad_(False)


def head(name: str, depth: int = 2, **params) -> nn.Module:
    """At its initial weights, in double precision, in evaluation mode."""
    torch.manual_seed(1)
    return build("heads", name, tail=tail(depth), **params).double().eval()


def episode(batch=1, way=2, shot=1, query=2, frames=FRAMES, tokens=TOKENS, dim=DIM, seed=1):
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(
        batch, way, shot, frames, dim, tokens, 1, generator=generator, dtype=torch.float64
    )
    return support, torch.randn(
        batch, query, frames, dim, tokens, 1, generator=generator, dtype=torch.float64
    )


def videos_of(features: torch.Tensor) -> np.ndarray:
    """The first episode's features [.. frames dim tokens 1] as an array [.. frames tokens dim]."""
    return features[0, ..., 0].transpose(-1, -2).detach().numpy()


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def logits(head_or_tail: nn.Module, wraps: bool, support, query) -> torch.Tensor:
    """By Bi-MHM, of a head that wraps its tail or of a tail with nothing behind it."""
    if wraps:
        model = EpisodeModel(nn.Identity(), head_or_tail, build("matching", "bimhm"))
    else:
        model = EpisodeModel(head_or_tail, build("heads", "identity"), build("matching", "bimhm"))
    labels = torch.zeros(query.shape[:2], dtype=torch.int64)
    return model.eval()(EpisodeFeatures(support, query, labels))[0]


def assert_starts_as_the_frozen_transformer(module: nn.Module) -> None:
    frozen = copy.deepcopy(module.tail)
    features = episode(batch=2, way=3, shot=2)
    torch.testing.assert_close(
        logits(module, True, *features), logits(frozen, False, *features), rtol=0, atol=1e-12
    )


def assert_equals(module: nn.Module, features, expected_support, expected_query) -> None:
    """The class tokens of the oracle's last videos [.. frames tokens dim] are the head's output."""
    end = part(arrays(module.tail), str(len(module.tail) - 1))
    out = module(*features)
    for got, expected in ((out.support[0], expected_support), (out.query[0], expected_query)):
        read = np.array(
            [
                oracle.class_tokens(video, end)
                for video in expected.reshape(-1, *expected.shape[-3:])
            ]
        )
        np.testing.assert_allclose(got.detach().flatten(0, -5)[..., 0, 0], read, atol=1e-10)
    assert out.losses == {}


def gradients(module: nn.Module, features) -> dict[str, torch.Tensor]:
    """Of every trained parameter; nothing else may have one."""
    out = module(*features)
    (out.support.square().sum() + out.query.pow(3).sum()).backward()
    assert all(parameter.grad is None for parameter in module.tail.parameters())
    return {
        name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
