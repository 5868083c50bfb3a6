"""Teachers small enough for tests, as the files that users have, and a data set of PNG frames for them to look at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fsar_core.config import Card
from fsar_core.data import splits
from fsar_core.data.index import write_index
from fsar_core.data.probing import build_index
from fsar_core.mask_providers.seem import checkpoints
from fsar_core.runtime.seeding import rng
from tests.builders import toy_card, toy_entries
from tests.mask_providers.seem.tiny import TINY, network

# Classes as UCF101 and Something-Something spell them.
SPELLED = {"train class 00": "BrushHair", "train class 01": "Pushing [something] left"}


def png_dataset(
    folder: Path, clips: int = 2, frames: int = 6, height: int = 40, width: int = 48
) -> Path:
    """videos/class/clip/<n>.png below `folder`/data and `folder`/index.tsv: two training classes, one each of val and test.
    Returns the data set's folder."""
    entries = toy_entries({"train": 2, "val": 1, "test": 1}, clips)
    entries["class"] = entries["class"].replace(SPELLED)
    entries["path"] = [f"videos/{name}/{number}" for number, name in enumerate(entries["class"])]
    card = Card.model_validate(toy_card())
    entries = splits.check(entries, card, folder)
    for path in entries.path:
        random = rng(0, path)
        clip = folder / "data" / path
        clip.mkdir(parents=True)
        coarse = random.integers(0, 256, (frames, height // 8, width // 8, 3), dtype=np.uint8)
        for number, picture in enumerate(coarse.repeat(8, axis=1).repeat(8, axis=2)):
            Image.fromarray(picture).save(clip / f"{number}.png")
    write_index(folder / "index.tsv", build_index(entries, card, folder / "data"))
    return folder / "data"


def tiny_seem(path: Path, monkeypatch, seed: int = 0) -> Path:
    """A checkpoint file with official names, of a network that stands for all published ones from here on."""
    small = {
        name: checkpoints.Checkpoint(TINY, known.url, "")
        for name, known in checkpoints.CHECKPOINTS.items()
    }
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", small)
    state = network(TINY, seed).float().state_dict()
    torch.save({checkpoints.official(name): value for name, value in state.items()}, path)
    return path


def tiny_clipseg(folder: Path, seed: int = 0) -> Path:
    """A folder as the published CLIPSeg is one: small network, CLIP's vocabulary, the older form of preprocessor_config.json."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    torch.manual_seed(seed)
    layers = dict(hidden_size=16, intermediate_size=32, num_attention_heads=2)
    config = CLIPSegConfig(
        text_config=dict(layers, num_hidden_layers=2, initializer_factor=4.0),
        vision_config=dict(
            layers, num_hidden_layers=3, image_size=32, patch_size=8, initializer_factor=4.0
        ),
        projection_dim=12,
        reduce_dim=8,
        extract_layers=[0, 1, 2],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    made = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for parameter in made.decoder.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    made.save_pretrained(folder)
    pieces, ends = SimpleTokenizer(), {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    names = {"<start_of_text>": ends["bos_token"], "<end_of_text>": ends["eos_token"]}
    files = {
        "vocab.json": {names.get(piece, piece): number for piece, number in pieces.encoder.items()},
        "tokenizer_config.json": ends
        | {
            "tokenizer_class": "CLIPTokenizer",
            "pad_token": ends["eos_token"],
            "unk_token": ends["eos_token"],
        }
        | {"model_max_length": 77},
        "preprocessor_config.json": {
            "feature_extractor_type": "ViTFeatureExtractor",
            "do_normalize": True,
            "do_resize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 2,
            "size": 352,
        },
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    merges = [" ".join(pair) for pair in pieces.bpe_ranks]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    return folder
