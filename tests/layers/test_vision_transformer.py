"""Stages of a vision transformer: by hand, and against torch's own layers."""

import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.components.backbone import Backbone
from fsar_core.errors import FsarError
from fsar_core.layers.vision_transformer import (
    Block,
    ClassToken,
    Embed,
    QuickGELU,
    features_of,
    tokens_of,
    vit_stages,
)
from fsar_core.store_kinds import features as feature_store
from tests.builders import toy_feature_spec

CUTS = ("frames", "tokens", "block1", "block2", "block3", "pooled")
DIM, HEADS, PATCH, IMAGE = 12, 3, 4, 16


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    stages = vit_stages(
        DIM, HEADS, depth=3, patch=PATCH, image=IMAGE, activation=QuickGELU, out_dim=5
    )
    return with_biases(Backbone(stages, mean=(0.5,) * 3, std=(0.25,) * 3).eval())


def with_biases(module: nn.Module) -> nn.Module:
    """Biases and norms away from their defaults, which would hide mistakes."""
    for parameter in module.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.5, 1.0)
    return module


def images(height: int = IMAGE, width: int = IMAGE, count: int = 3) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=random)


@pytest.mark.parametrize("size", [(16, 16), (24, 24), (8, 20)])
@torch.inference_mode()
def test_every_cut_and_its_tail_are_the_whole_network(backbone, size):
    assert backbone.cuts == CUTS
    hidden = backbone.normalise(images(*size))
    for stage in backbone.stages.values():
        hidden = stage(hidden)
    tokens = size[0] * size[1] // PATCH**2 + 1
    shapes = [(3, 3, *size), *[(3, DIM, tokens, 1)] * 4, (3, 5, 1, 1)]
    for cut, shape in zip(CUTS, shapes, strict=True):
        at_cut = backbone.to_cut(images(*size), cut)
        assert at_cut.shape == shape
        torch.testing.assert_close(backbone.tail(cut)(at_cut), hidden)
        stored = at_cut.contiguous()  # as a store hands them out
        torch.testing.assert_close(backbone.tail(cut)(stored), hidden)


def test_tokens_and_features_are_one_thing():
    tokens = torch.arange(24.0).reshape(2, 3, 4)
    features = features_of(tokens)
    assert features.shape == (2, 4, 3, 1) and features[1, 2, 0, 0] == tokens[1, 0, 2]
    assert torch.equal(tokens_of(features), tokens)


def norm(rows: np.ndarray, layer: nn.LayerNorm) -> np.ndarray:
    """(x - mean) / sqrt(variance + 1e-5) over the channels of each row."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return (rows - rows.mean(-1, keepdims=True)) / np.sqrt(
        rows.var(-1, keepdims=True) + 1e-5
    ) * weight + bias


def linear(rows: np.ndarray, weight: torch.Tensor, bias: torch.Tensor) -> np.ndarray:
    return rows @ weight.detach().double().numpy().T + bias.detach().double().numpy()


def block_by_hand(block: Block, rows: np.ndarray, activation) -> np.ndarray:
    """One image [tokens dim]; query by query, head by head, with softmax written out."""
    q, k, v = np.split(
        linear(norm(rows, block.ln_1), block.attn.in_proj_weight, block.attn.in_proj_bias),
        3,
        axis=-1,
    )
    joined = np.zeros_like(rows)
    size = DIM // HEADS
    for token in range(len(rows)):
        for head in range(HEADS):
            own = slice(head * size, (head + 1) * size)
            weights = np.array([np.exp(q[token, own] @ key / size**0.5) for key in k[:, own]])
            joined[token, own] = sum(
                w * value for w, value in zip(weights / weights.sum(), v[:, own])
            )
    rows = rows + linear(joined, block.attn.out_proj.weight, block.attn.out_proj.bias)
    hidden = activation(linear(norm(rows, block.ln_2), block.mlp.c_fc.weight, block.mlp.c_fc.bias))
    return rows + linear(hidden, block.mlp.c_proj.weight, block.mlp.c_proj.bias)


ACTIVATIONS = {
    nn.GELU: lambda x: x * torch.special.ndtr(torch.from_numpy(x)).numpy(),
    QuickGELU: lambda x: x / (1 + np.exp(-1.702 * x)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "recorded", [True, False]
)  # torch has another way through attention where no gradient is asked for
def test_a_block_by_hand(activation, recorded):
    torch.manual_seed(0)
    block = with_biases(Block(DIM, HEADS, activation)).eval()
    tokens = torch.randn(2, 5, DIM)
    with torch.set_grad_enabled(recorded):
        found = tokens_of(block(features_of(tokens))).detach().numpy()
    for image in range(2):
        expected = block_by_hand(block, tokens[image].double().numpy(), ACTIVATIONS[activation])
        np.testing.assert_allclose(found[image], expected, rtol=1e-4, atol=1e-5)


def test_a_block_is_torchs_pre_norm_layer():
    torch.manual_seed(0)
    block = with_biases(Block(DIM, HEADS)).eval()
    layer = nn.TransformerEncoderLayer(
        DIM, HEADS, 4 * DIM, 0.0, "gelu", batch_first=True, norm_first=True
    ).eval()
    names = [
        ("self_attn", "attn"),
        ("norm1", "ln_1"),
        ("norm2", "ln_2"),
        ("linear1", "mlp.c_fc"),
        ("linear2", "mlp.c_proj"),
    ]
    for theirs, ours in names:
        layer.get_submodule(theirs).load_state_dict(block.get_submodule(ours).state_dict())
    tokens = torch.randn(2, 6, DIM)
    torch.testing.assert_close(tokens_of(block(features_of(tokens))), layer(tokens))


@torch.inference_mode()
def test_tokens_by_hand():
    """Patches row by row behind the class token, each with its position, then the norm."""
    torch.manual_seed(0)
    embed = with_biases(Embed(DIM, PATCH, IMAGE))
    image = torch.randn(1, 3, IMAGE, IMAGE)
    found = tokens_of(embed(image))[0]
    assert found.shape == (17, DIM)
    for token, vector in enumerate(found):
        if token:
            row, column = divmod(token - 1, IMAGE // PATCH)
            patch = image[
                0, :, PATCH * row : PATCH * (row + 1), PATCH * column : PATCH * (column + 1)
            ]
            hidden = (embed.conv1.weight * patch).sum((1, 2, 3))
        else:
            hidden = embed.class_embedding
        hidden = (hidden + embed.positional_embedding[token]).numpy()
        np.testing.assert_allclose(vector, norm(hidden, embed.ln_pre), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("out_dim", [None, 5])
@torch.inference_mode()
def test_the_class_token_by_hand(out_dim):
    torch.manual_seed(0)
    last = with_biases(ClassToken(DIM, out_dim))
    features = torch.randn(2, DIM, 7, 1)
    expected = norm(features[:, :, 0, 0].numpy(), last.ln_post)
    expected = expected if out_dim is None else expected @ last.proj.numpy()
    found = last(features)
    assert found.shape == (2, out_dim or DIM, 1, 1)
    np.testing.assert_allclose(found[:, :, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_positions_of_the_own_size_are_taken_as_they_are():
    embed = Embed(DIM, PATCH, IMAGE)
    assert embed._positions(4, 4) is embed.positional_embedding


@pytest.mark.parametrize("grid", [(6, 6), (3, 3), (2, 7)])
@torch.no_grad()
def test_positions_of_another_size(grid):
    """Constant channels stay constant, a channel that grows down the rows still does, the class token's are its own."""
    embed = Embed(3, PATCH, IMAGE)
    rows, columns = torch.arange(4.0).repeat_interleave(4), torch.arange(4.0).repeat(4)
    embed.positional_embedding[1:] = torch.stack([torch.full((16,), 7.0), rows, columns], dim=1)
    embed.positional_embedding[0] = torch.tensor([-1.0, -2.0, -3.0])
    found = embed._positions(*grid)
    assert found[0].tolist() == [-1, -2, -3]
    constant, down, right = found[1:].reshape(*grid, 3).permute(2, 0, 1)
    torch.testing.assert_close(constant, torch.full(grid, 7.0))
    torch.testing.assert_close(down, down[:, :1].expand(grid))
    torch.testing.assert_close(right, right[:1].expand(grid))
    assert (down[:, 0].diff() > 0).all() and (right[0].diff() > 0).all()
    torch.testing.assert_close(torch.stack([down.mean(), right.mean()]), torch.tensor([1.5, 1.5]))


def test_positions_of_another_size_learn():
    embed = Embed(DIM, PATCH, IMAGE)
    embed(torch.randn(1, 3, 24, 24)).pow(3).sum().backward()
    assert embed.positional_embedding.grad.abs().sum(1).min() > 0


@pytest.mark.parametrize("size", [(18, 16), (16, 18), (3, 3)])
def test_a_crop_that_is_no_multiple_of_the_patch_is_refused(backbone, size):
    with pytest.raises(
        FsarError,
        match=f"^a crop of {size[0]} x {size[1]} pixels; expected multiples of the patch of 4 pixels$",
    ):
        backbone.to_cut(images(*size), "block1")


class Frames:
    """What `feature_store.blocks` needs of a frame store's reader: 2 frames of 20 x 20 pixels."""

    failed = frozenset({1})
    values = np.random.default_rng(0).integers(0, 256, (5, 1, 2, 20, 20, 3), np.uint8)

    def read(self, rows, view=0, threads=1):
        return self.values[rows, view]


@pytest.mark.parametrize(
    ("cut", "shape"),
    [("tokens", [2, DIM, 17, 1]), ("block2", [2, DIM, 17, 1]), ("pooled", [2, 5, 1, 1])],
)
def test_tokens_are_stored_in_float16_and_the_tail_goes_on_from_there(backbone, cut, shape):
    spec = toy_feature_spec(frames=2, cut=cut, crop=IMAGE, dtype="float16")
    plan = feature_store.plan(spec, backbone, clips=5, clips_per_job=64)
    assert plan.shapes == {"features": shape} and plan.dtypes == {"features": "float16"}
    rows, device = range(5), torch.device("cpu")
    (block,) = feature_store.blocks(spec, backbone, Frames(), frozenset(), shape, rows, 2, device)
    stored = block.arrays["features"]
    assert stored.shape == (5, 1, *shape) and stored.dtype == np.float16
    assert [f["row"] for f in block.failures] == [1] and not stored[1].any()
    clip = torch.from_numpy(Frames.values[3, 0, :, 2:18, 2:18]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        whole = backbone.to_cut(clip, "pooled")
        resumed = backbone.tail(cut)(torch.from_numpy(stored[3, 0]).float())
    torch.testing.assert_close(resumed, whole, rtol=1e-2, atol=1e-2)
