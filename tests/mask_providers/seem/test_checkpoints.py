"""Checkpoints: every tensor accounted for, one line for everything else."""

import json

import pytest
import torch
from safetensors.torch import save_file

from fsar_core.errors import FsarError
from fsar_core.mask_providers.seem import checkpoints
from fsar_core.mask_providers.seem.checkpoints import CHECKPOINTS, NOT_NEEDED, Checkpoint
from tests.builders import shared
from tests.mask_providers.seem.tiny import TINY, TINY_L, frames, network

PREDICTOR = "sem_seg_head.predictor."
# One name of every kind, ours and the official one.
NAMES = {
    "backbone.layers.1.blocks.0.modulation.focal_layers.1.0.weight": None,
    "backbone.norm2.bias": None,
    "pixel_decoder.input_proj.weight": "sem_seg_head.pixel_decoder.input_proj.weight",
    "pixel_decoder.adapter_2.norm.bias": "sem_seg_head.pixel_decoder.adapter_2.norm.bias",
    "pixel_decoder.encoder.1.self_attn.in_proj_bias": (
        "sem_seg_head.pixel_decoder.transformer.encoder.layers.1.self_attn.in_proj_bias"
    ),
    "pixel_decoder.mask_features.bias": "sem_seg_head.pixel_decoder.mask_features.bias",
    "language_encoder.lang_proj": f"{PREDICTOR}lang_encoder.lang_proj",
    "language_encoder.token_embedding.weight": f"{PREDICTOR}lang_encoder.lang_encoder.token_embedding.weight",
    "language_encoder.resblocks.0.mlp.c_fc.weight": (
        f"{PREDICTOR}lang_encoder.lang_encoder.resblocks.0.mlp.c_fc.weight"
    ),
    "mask_decoder.layers.3.cross_attention.attn.out_proj.weight": (
        f"{PREDICTOR}transformer_cross_attention_layers.3.multihead_attn.out_proj.weight"
    ),
    "mask_decoder.layers.2.cross_attention.norm.weight": (
        f"{PREDICTOR}transformer_cross_attention_layers.2.norm.weight"
    ),
    "mask_decoder.layers.1.self_attention.attn.in_proj_weight": (
        f"{PREDICTOR}transformer_self_attention_layers.1.self_attn.in_proj_weight"
    ),
    "mask_decoder.layers.0.ffn.linear2.bias": f"{PREDICTOR}transformer_ffn_layers.0.linear2.bias",
    "mask_decoder.mask_embed.layers.2.weight": f"{PREDICTOR}mask_embed.layers.2.weight",
    "mask_decoder.class_embed": f"{PREDICTOR}class_embed",
    "mask_decoder.query_feat.weight": f"{PREDICTOR}query_feat.weight",
}


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """Two networks of tests are published under names of their own."""
    found = {
        "tiny": Checkpoint(TINY, "https://example.org/files/tiny_official.pt", ""),
        "tiny_l": Checkpoint(TINY_L, "https://example.org/files/tiny_l.pt", ""),
    }
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", found)


def state_of(seem) -> dict[str, torch.Tensor]:
    """What its official file would hold, with what is not needed."""
    state = {checkpoints.official(own): value.clone() for own, value in seem.state_dict().items()}
    return state | {name: torch.ones(2, 3) for name in NOT_NEEDED}


@pytest.fixture(scope="module")
def seem():
    return network().float()


@pytest.fixture
def state(seem):
    return state_of(seem)


@pytest.fixture
def file(tmp_path):
    def write(state):
        torch.save(state, tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return write


def refused(path, name: str = "tiny") -> str:
    with pytest.raises(FsarError) as caught:
        checkpoints.load(name, path)
    return str(caught.value)


def outputs(seem):
    return seem(frames(1, 40, 40), seem.encode_text(["brush hair"]), size=64)


@pytest.mark.parametrize("own", NAMES)
def test_official_names(own):
    assert checkpoints.official(own) == (NAMES[own] or own)
    assert own in network().state_dict()


def test_what_was_saved_is_loaded(seem, state, file):
    found = checkpoints.load("tiny", file(state))
    for name, value in seem.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    assert all(torch.equal(a, b) for a, b in zip(outputs(found), outputs(seem)))
    assert not found.training and not any(p.requires_grad for p in found.parameters())


def test_what_is_not_needed_may_be_missing(seem, state, file):
    found = checkpoints.load(
        "tiny", file({name: value for name, value in state.items() if name not in NOT_NEEDED})
    )
    assert torch.equal(outputs(found)[0], outputs(seem)[0])
    assert all(reason for reason in NOT_NEEDED.values())


def test_half_precision_and_safetensors(seem, state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({name: value.half() for name, value in state.items()}, path)
    found = checkpoints.load("tiny", path)
    for name, value in seem.state_dict().items():
        assert found.state_dict()[name].dtype == torch.float32
        assert torch.equal(found.state_dict()[name], value.half().float())


def test_missing(state, file):
    del state["sem_seg_head.predictor.class_embed"], state["backbone.norm3.bias"]
    path = file(state)
    assert refused(path) == (
        f"{path}: no weights of tiny: lacks 'backbone.norm3.bias' (and 1 more); expected tiny_official.pt as published"
    )


def test_unknown(state, file):
    path = file(state | {"backbone.norm4.bias": torch.zeros(3)})
    assert "no weights of tiny: has the unknown 'backbone.norm4.bias'; expected" in refused(path)


def test_another_shape(state, file):
    path = file(state | {"backbone.norm3.bias": torch.zeros(3)})
    assert "no weights of tiny: 'backbone.norm3.bias' is (3,), expected (10,); expected" in refused(
        path
    )


def test_the_file_of_another_checkpoint(file):
    found = refused(file(state_of(network(TINY_L))))
    assert (
        "'backbone.layers.0.blocks.0.modulation.f.weight' is (13, 4), expected (11, 4) (and "
        in found
    )
    assert "lacks 'backbone.layers.0.blocks.0.dw1.weight' (and " in found
    assert (
        "has the unknown 'backbone.layers.0.blocks.0.modulation.focal_layers.2.0.weight' (and "
        in found
    )
    assert found.endswith("; it fits tiny_l") and "\n" not in found


def test_an_unknown_name(tmp_path):
    assert (
        refused(tmp_path / "x.pt", "tinny")
        == "unknown SEEM checkpoint 'tinny'; did you mean 'tiny'?"
    )


def test_files_that_are_none(tmp_path, state, file):
    assert "no such weights file" in refused(tmp_path / "absent.pt")
    (tmp_path / "page.pt").write_text("<html>")
    assert "not a state dict that loads with weights_only=True" in refused(tmp_path / "page.pt")
    assert "expected a state dict of tensors, found dict" in refused(file({"model": state}))


class Code:
    def __reduce__(self):
        return print, ("run",)


def test_no_code_of_a_file_is_run(state, file, capsys):
    assert "weights_only=True" in refused(file(state | {"dilation_kernel": Code()}))
    assert capsys.readouterr().out == ""


def test_published_addresses():
    assert list(CHECKPOINTS) == [
        "seem_focalt_v1",
        "seem_focall_v1",
        "seem_focalt_v0",
        "seem_focall_v0",
    ]
    for name, checkpoint in CHECKPOINTS.items():
        assert checkpoint.url == f"https://huggingface.co/xdecoder/SEEM/resolve/main/{name}.pt"
        assert checkpoint.config.depthwise == ("focalt" in name)
        assert ("FocalNet-T" if "focalt" in name else "FocalNet-L") in checkpoint.notes


@pytest.mark.shared(
    "facts/seem_focalt_v1_keys.json",
    "facts/seem_focall_v1_keys.json",
    checks="names and shapes of SEEM's weights against those of the official networks",
)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_official_networks_names_and_shapes(name):
    """The lists are of the official code's own networks; versions 0 and 1 are the same there."""
    path = shared("facts", f"{name.replace('_v0', '_v1')}_keys.json")
    keys, config = json.loads(path.read_text()), CHECKPOINTS[name].config
    state = {key: torch.empty(shape, device="meta") for key, shape in keys.items()}
    assert checkpoints.differences(state, config) == ""
    assert len(state) == {True: 729, False: 933}[config.depthwise]
    assert set(keys) == set(checkpoints.shapes(config)) | set(NOT_NEEDED)
    other = CHECKPOINTS["seem_focall_v1" if config.depthwise else "seem_focalt_v1"].config
    assert checkpoints.differences(state, other).startswith(
        "'backbone.patch_embed.proj.weight' is ("
    )
    for key in checkpoints.shapes(config):
        assert (
            checkpoints.differences({k: v for k, v in state.items() if k != key}, config)
            == f"lacks '{key}'"
        )
