"""CLIP's image tower against open_clip's, at full size and, for files and keys, at a tiny one."""

import hashlib
import io
import os
import socket
from collections import OrderedDict
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import resize_pos_embed
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.transformer import VisionTransformer
from safetensors.torch import save_file
from torch import nn

from fsar_core.backbones import _open_clip
from fsar_core.backbones._open_clip import read_visual_tower
from fsar_core.backbones.clip_vit_b16 import QUICKGELU, ClipVitB16
from fsar_core.components.backbone import Backbone
from fsar_core.components.registry import build, check, entry
from fsar_core.components.weights import load_strictly
from fsar_core.errors import FsarError
from fsar_core.layers.vision_transformer import vit_stages

MEAN = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
STD = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
TINY = dict(dim=12, heads=3, depth=2, patch=4, image=16, activation=nn.GELU)
TEXT = (
    "text_projection",
    "logit_scale",
    "token_embedding.weight",
    "ln_final.bias",
    "transformer.resblocks.0.ln_1.weight",
)


def images(size: int, count: int = 2) -> torch.Tensor:
    return torch.randint(
        256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def with_biases(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.2, 0.8)
    return module.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "activation"), [("ViT-B-16", "gelu"), ("ViT-B-16-quickgelu", "quickgelu")]
)
@torch.inference_mode()
def test_the_whole_of_clip_at_full_size(name, activation, tmp_path):
    torch.manual_seed(0)
    text = dict(context_length=4, vocab_size=16, width=16, heads=2, layers=1)
    model = open_clip.create_model(name, pretrained=None, text_cfg=text)
    with_biases(model)
    torch.save(model.state_dict(), tmp_path / "clip.pt")
    ours = build(
        "backbones",
        "clip_vit_b16",
        weights=str(tmp_path / "clip.pt"),
        projection=True,
        activation=activation,
    ).eval()
    (tmp_path / "clip.pt").unlink()

    hidden, batch = {}, (images(224).float() / 255 - MEAN) / STD
    watched = {
        "tokens": model.visual.ln_pre,
        **{f"block{k}": model.visual.transformer.resblocks[k - 1] for k in (1, 7, 12)},
    }
    for cut, module in watched.items():
        module.register_forward_hook(lambda _, inputs, out, cut=cut: hidden.update({cut: out}))
    expected = model.encode_image(batch)
    for cut in watched:
        found = ours.to_cut(images(224), cut)
        assert found.shape == (2, 768, 197, 1)
        torch.testing.assert_close(found[..., 0].mT, hidden[cut], rtol=1e-4, atol=1e-4)
    found = ours.tail("block7")(ours.to_cut(images(224), "block7"))
    assert found.shape == (2, 512, 1, 1)
    torch.testing.assert_close(found[..., 0, 0], expected, rtol=1e-4, atol=1e-4)
    ours.stages["pooled"].proj = None  # as without `projection`
    token = model.visual.ln_post(hidden["block12"][:, 0])
    torch.testing.assert_close(
        ours.stages["pooled"](hidden["block12"].mT[..., None])[..., 0, 0],
        token,
        rtol=1e-4,
        atol=1e-4,
    )


@torch.inference_mode()
def test_shapes_and_parameters_without_memory():
    with torch.device("meta"):
        for projection, dim, numbers in ((False, 768, 85_799_424), (True, 512, 86_192_640)):
            backbone = ClipVitB16(projection=projection).eval()
            assert sum(p.numel() for p in backbone.parameters()) == numbers
            shapes = [
                tuple(backbone.to_cut(images(224).to("meta"), cut).shape[1:])
                for cut in ClipVitB16.cuts
            ]
            assert shapes == [(3, 224, 224), *[(768, 197, 1)] * 13, (dim, 1, 1)]


def test_the_source_text_says_what_the_module_is():
    found = entry("backbones", "clip_vit_b16").attributes
    with torch.device("meta"):
        backbone = ClipVitB16()
    assert found["cuts"] == backbone.cuts
    assert found["published_weights"] == ClipVitB16.published_weights
    assert found["publisher"] == ClipVitB16.publisher == "open_clip"
    assert found["trainable"] is False


def test_tags_are_open_clips_with_its_own_activation_and_normalisation():
    assert set(ClipVitB16.published_weights) <= set(list_pretrained_tags_by_model("ViT-B-16"))
    cards = {tag: get_pretrained_cfg("ViT-B-16", tag) for tag in ClipVitB16.published_weights}
    assert {tag for tag in cards if cards[tag].get("quick_gelu", False)} == set(QUICKGELU)
    for card in cards.values():
        assert card["hf_hub"]
        torch.testing.assert_close(torch.tensor(card["mean"]), MEAN.flatten())
        torch.testing.assert_close(torch.tensor(card["std"]), STD.flatten())
    with torch.device("meta"):
        assert all(
            isinstance(block.mlp.gelu, nn.GELU)
            for block in list(ClipVitB16().stages.values())[1:-1]
        )


# -- files -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tower() -> VisionTransformer:
    torch.manual_seed(0)
    sizes = dict(
        image_size=16, patch_size=4, width=12, layers=2, heads=3, mlp_ratio=4.0, output_dim=5
    )
    return with_biases(VisionTransformer(**sizes))


def whole(tower: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict of the whole of CLIP: its text tower has keys that the image tower has as well."""
    text = {key: torch.zeros(2) for key in TEXT} | {"positional_embedding": torch.zeros(4, 3)}
    return text | {f"visual.{key}": value for key, value in tower.state_dict().items()}


def loaded(path: Path | str, **options) -> Backbone:
    state = read_visual_tower("ViT-B-16", path, options.get("root"), options.get("tags", ()))
    backbone = Backbone(
        vit_stages(**TINY, out_dim=5), mean=MEAN.flatten().tolist(), std=STD.flatten().tolist()
    )
    load_strictly(backbone, state, path)
    return backbone.eval()


def wrapped(state, **beside):
    return {"state_dict": state, **beside}


FORMS = {
    "the tower": lambda t: t.state_dict(),
    "whole": whole,
    "module": lambda t: {f"module.{key}": value for key, value in whole(t).items()},
    "checkpoint": lambda t: wrapped(whole(t), epoch=3, name="run", optimizer={"state": {}}),
    "module in a checkpoint": lambda t: wrapped(
        {f"module.{key}": value for key, value in t.state_dict().items()}
    ),
    "with OpenAI's counts": lambda t: (
        whole(t) | {k: torch.tensor(1) for k in ("input_resolution", "vocab_size")}
    ),
    "other order": lambda t: OrderedDict(reversed(whole(t).items())),
    "half": lambda t: {key: value.half() for key, value in whole(t).items()},
}


@pytest.mark.parametrize(
    ("form", "suffix"),
    [(form, ".pt") for form in FORMS]
    + [(form, ".safetensors") for form in FORMS if "checkpoint" not in form],
)
@torch.inference_mode()
def test_every_form_of_a_file(form, suffix, tower, tmp_path):
    path, state = tmp_path / f"w{suffix}", FORMS[form](tower)
    if suffix == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    expected = tower((images(16).float() / 255 - MEAN) / STD)
    tolerance = 1e-2 if form == "half" else 1e-5
    found = loaded(path)
    assert all(p.dtype == torch.float32 for p in found.parameters())
    torch.testing.assert_close(
        found.to_cut(images(16), "pooled")[..., 0, 0], expected, rtol=tolerance, atol=tolerance
    )


def test_the_backbones_own_state_dict_is_read(tower, tmp_path):
    torch.save(tower.state_dict(), tmp_path / "w.pt")
    first = loaded(tmp_path / "w.pt")
    torch.save(first.state_dict(), tmp_path / "own.pt")
    second = loaded(tmp_path / "own.pt").state_dict()
    assert all(torch.equal(second[key], value) for key, value in first.state_dict().items())


@torch.inference_mode()
def test_positions_at_another_crop_are_those_of_open_clip(tower, tmp_path):
    torch.save(tower.state_dict(), tmp_path / "w.pt")
    sizes = dict(patch_size=4, width=12, layers=2, heads=3, mlp_ratio=4.0, output_dim=5)
    larger = nn.Module()
    larger.visual = VisionTransformer(image_size=24, **sizes).eval()
    state = {f"visual.{key}": value for key, value in tower.state_dict().items()}
    resize_pos_embed(state, larger)
    larger.load_state_dict(state)
    expected = larger.visual((images(24).float() / 255 - MEAN) / STD)
    found = loaded(tmp_path / "w.pt").to_cut(images(24), "pooled")[..., 0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def changed(tower, **changes):
    return {key: value for key, value in (whole(tower) | changes).items() if value is not None}


MISTAKES = {
    "missing": (
        {"visual.ln_post.bias": None},
        r"lacks 'stages\.pooled\.ln_post\.bias' and 0 more$",
    ),
    "block": (
        {"visual.transformer.resblocks.2.ln_1.bias": torch.zeros(12)},
        r"has the unknown 'stages\.block3\.ln_1\.bias'",
    ),
    "visual": (
        {"visual.attn_pool.query": torch.zeros(1)},
        r"has the unknown 'attn_pool\.query' and 0 more$",
    ),
    "beside": (
        {"classifier.weight": torch.zeros(1)},
        r"has the unknown 'classifier\.weight' and 0 more$",
    ),
    "shape": (
        {"visual.proj": torch.zeros(12, 4)},
        r"'stages\.pooled\.proj' is \(12, 4\), expected \(12, 5\)$",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_other_weights_are_refused_by_their_first_difference(mistake, tower, tmp_path):
    changes, line = MISTAKES[mistake]
    torch.save(changed(tower, **changes), tmp_path / "w.pt")
    with pytest.raises(FsarError, match=r"w\.pt: no weights of Backbone: .*" + line):
        loaded(tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_an_archive_with_code_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "ViT-B-16.pt")
    with pytest.raises(
        FsarError,
        match=r"ViT-B-16\.pt: a TorchScript archive .* Use the tag 'openai', or a state dict or",
    ):
        ClipVitB16(tmp_path / "ViT-B-16.pt", activation="quickgelu")


class Harmful:
    """Unpickling this would create a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "wrap",
    [lambda v: {"visual.proj": v}, lambda v: wrapped({"visual.proj": torch.zeros(1)}, args=v)],
)
def test_pickled_code_is_not_run(wrap, tmp_path):
    torch.save(wrap(Harmful(tmp_path / "trap")), tmp_path / "w.pt")
    with pytest.raises(FsarError, match="weights_only=True"):
        read_visual_tower("ViT-B-16", tmp_path / "w.pt", None, ())
    assert not (tmp_path / "trap").exists()


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(FsarError, match=r"absent\.safetensors: no such weights file"):
        loaded(tmp_path / "absent.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"not this")
    with pytest.raises(FsarError, match=r"w\.safetensors: not a state dict that loads"):
        loaded(tmp_path / "w.safetensors")
    torch.save(wrapped([1, 2]), tmp_path / "w.pt")
    with pytest.raises(FsarError, match=r"w\.pt: expected a state dict of tensors, found list"):
        loaded(tmp_path / "w.pt")


# -- options ---------------------------------------------------------------------------------------------------------------


def test_a_file_needs_its_activation(tmp_path):
    with pytest.raises(
        FsarError,
        match=r"the file w\.pt does not tell its activation; name it: activation='quickgelu' \(OpenAI",
    ):
        ClipVitB16("w.pt")


@pytest.mark.parametrize(
    ("tag", "own", "wrong"),
    [("openai", "quickgelu", "gelu"), ("laion2b_s34b_b88k", "gelu", "quickgelu")],
)
def test_a_tag_has_its_activation(tag, own, wrong, monkeypatch):
    with pytest.raises(
        FsarError,
        match=f"the weights '{tag}' were trained with {own}, not with activation='{wrong}'",
    ):
        ClipVitB16(tag, activation=wrong)
    state = {"stages.block1.mlp.gelu": torch.zeros(1)}
    monkeypatch.setattr(
        "fsar_core.backbones.clip_vit_b16.read_visual_tower", lambda *a: dict(state)
    )
    monkeypatch.setattr("fsar_core.backbones.clip_vit_b16.load_strictly", lambda *a: None)
    with torch.device("meta"):
        for activation in ("of_weights", own):
            gelu = ClipVitB16(tag, activation=activation).stages["block12"].mlp.gelu
            assert type(gelu).__name__ == {"gelu": "GELU", "quickgelu": "QuickGELU"}[own]


@pytest.mark.parametrize("option", [{"activation": "relu"}, {"projection": None}])
def test_options_are_checked_before_any_job(option):
    (name,) = option
    for call in (lambda: check("backbones", "clip_vit_b16", option), lambda: ClipVitB16(**option)):
        with pytest.raises(FsarError, match=f"{name}={option[name]!r} is not valid; valid: "):
            call()


# -- tags ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("the network was asked"))


def cached(root: Path, name: str, content: bytes, declared: str | None = None) -> Path:
    """A file as huggingface_hub keeps it, below a commit: a link to a blob that is called like its SHA-256."""
    repository = root / "models--timm--vit_base_patch16_clip_224.openai"
    blob = repository / "blobs" / (declared or hashlib.sha256(content).hexdigest())
    link = repository / "snapshots" / "0" / name
    for path in (blob, link, repository / "refs" / "main"):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs" / "main").write_text("0")
    return link


def content_of(tower, name: str) -> bytes:
    stream = io.BytesIO()
    torch.save(whole(tower), stream)
    if name.endswith(".safetensors"):
        from safetensors.torch import save

        return save(whole(tower))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_a_tag_that_is_held_needs_no_network(name, tower, tmp_path, offline):
    cached(tmp_path, name, content_of(tower, name))
    found = loaded("openai", root=tmp_path, tags=ClipVitB16.published_weights).state_dict()
    torch.testing.assert_close(found["stages.pooled.proj"], tower.proj.detach())


def test_a_held_file_with_another_hash_is_refused(tower, tmp_path, offline):
    name = "open_clip_model.safetensors"
    cached(tmp_path, name, content_of(tower, name), declared="0" * 64)
    with pytest.raises(
        FsarError, match=f"{'0' * 64}: not the published weights 'openai' .* remove it"
    ):
        loaded("openai", root=tmp_path, tags=ClipVitB16.published_weights)


def test_a_tag_that_is_not_held_is_downloaded_below_the_root(tower, tmp_path, monkeypatch):
    asked = []

    def download(source, cache_dir):
        asked.append((source["hf_hub"], cache_dir))
        return str(
            cached(tmp_path, "open_clip_model.safetensors", content_of(tower, "x.safetensors"))
        )

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", download)
    path = _open_clip.published_file("ViT-B-16", "openai", tmp_path)
    assert asked == [("timm/vit_base_patch16_clip_224.openai/", str(tmp_path))] and path.is_file()


@pytest.mark.parametrize(
    "error", [FileNotFoundError("Failed\nLast error: x"), OSError("no route"), RuntimeError("")]
)
def test_a_failed_download_is_one_line_that_says_what_to_do(error, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", fail)
    reason = (str(error).splitlines() or ["RuntimeError"])[0]
    with pytest.raises(
        FsarError,
        match=rf"^weights 'openai' cannot be downloaded \({reason}\); fetch open_clip_model\.safetensors of timm/",
    ) as caught:
        ClipVitB16("openai", weights_root=tmp_path)
    assert (
        "`weights:`" in str(caught.value)
        and "`activation`" in str(caught.value)
        and "\n" not in str(caught.value)
    )


def test_a_mistyped_tag_is_no_file(tmp_path):
    with pytest.raises(FsarError, match="opnai: no such weights file"):
        ClipVitB16("opnai", activation="gelu")
