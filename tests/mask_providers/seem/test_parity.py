"""The official network in double precision, stage by stage, with weights that follow from their names."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fsar_core.mask_providers.seem import checkpoints, images
from fsar_core.mask_providers.seem.config import FOCAL_T
from fsar_core.mask_providers.seem.mask_decoder import similarity
from fsar_core.mask_providers.seem.network import SEEM
from fsar_core.mask_providers.seem.tokenizer import encode
from tests.builders import shared

NUMBERS = shared("parity", "seem_focalt_v1_f64.npz")
WEIGHTS = shared("parity", "seem_random_weights.py")
KEYS = shared("facts", "seem_focalt_v1_keys.json")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared(
        NUMBERS, WEIGHTS, KEYS, checks="SEEM stage by stage against numbers of the official network"
    ),
]
LIMIT = 1e-4  # of the largest value
UP_TO_MASK_FEATURES = [
    "class_emb",
    *(f"res{n}" for n in (2, 3, 4, 5)),
    "ms0",
    "ms1",
    "ms2",
    "mask_features",
]


@pytest.fixture(scope="module")
def numbers():
    with np.load(NUMBERS) as file:
        return dict(file)


@pytest.fixture(scope="module")
def seem(numbers) -> SEEM:
    spec = importlib.util.spec_from_file_location("seem_random_weights", WEIGHTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state = {
        name: torch.tensor(
            np.asarray(module.random_entry(name, tuple(shape), int(numbers["seed"])))
        )
        for name, shape in json.loads(KEYS.read_text()).items()
    }
    assert checkpoints.differences(state, FOCAL_T) == ""
    return checkpoints.build(state, FOCAL_T)


@torch.no_grad()
def stages(seem: SEEM, numbers: dict, dtype: torch.dtype) -> SimpleNamespace:
    """Every stage under the name that it has among the numbers."""
    seem.to(dtype)
    inputs = images.normalised(torch.from_numpy(numbers["image"])[None], dtype)
    text = seem.encode_text([str(numbers["prompt"])])
    maps = seem.backbone(inputs)
    memories, finest = seem.pixel_decoder(maps)
    features = seem.pixel_decoder.mask_features
    averages = []
    full = features(finest)[0]

    def masks_of(queries):
        return torch.einsum("qd,dhw->qhw", queries[0], full)

    hook = seem.mask_decoder.mask_embed.register_forward_hook(
        lambda _module, _inputs, queries: averages.append(masks_of(queries).abs().mean().item())
    )
    found = seem.mask_decoder(
        memories, features.resized(finest, [m.shape[-2:] for m in memories]), text
    )
    hook.remove()
    logits, score = seem.ground(inputs, text)
    nearness = similarity(found.meaning, text.sentence)
    return SimpleNamespace(
        **dict(zip(("res2", "res3", "res4", "res5"), maps)),
        **dict(zip(("ms0", "ms1", "ms2"), memories)),
        mask_features=full[None],
        token_emb=text.tokens[0],
        class_emb=text.sentence,
        pred_gmasks=masks_of(found.mask),
        pred_gtexts=found.meaning[0],
        similarity=nearness.T,
        matched_id=nearness.argmax(),
        aux_gmasks_mean=torch.tensor(averages),
        logits_quarter=logits[0],
        logits=images.restored(
            logits, numbers["image"].shape[1:], tuple(numbers["out_hw"].tolist())
        )[0],
        score=score,
    )


@pytest.fixture(scope="module")
def double(seem, numbers) -> SimpleNamespace:
    return stages(seem, numbers, torch.float64)


@pytest.fixture(scope="module")
def single(seem, numbers) -> SimpleNamespace:
    return stages(seem, numbers, torch.float32)


def error(numbers: dict, name: str, found: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value. Of large maps, 2048 places are given."""
    if name in numbers:
        assert found.shape == numbers[name].shape
        return np.abs(found.numpy() - numbers[name]).max() / np.abs(numbers[name]).max()
    assert list(found.shape) == numbers[f"{name}_shape"].tolist()
    places = found.flatten().numpy()[numbers[f"{name}_index"]]
    mean, deviation, largest = numbers[f"{name}_stats"]
    assert abs(found.double().mean().item() - mean) < LIMIT * largest
    assert abs(found.double().std(correction=0).item() - deviation) < LIMIT * largest
    return np.abs(places - numbers[f"{name}_values"]).max() / largest


@pytest.mark.parametrize(
    "name",
    [
        *UP_TO_MASK_FEATURES,
        "pred_gmasks",
        "pred_gtexts",
        "similarity",
        "aux_gmasks_mean",
        "logits_quarter",
        "logits",
    ],
)
def test_double_precision(numbers, double, name):
    assert error(numbers, name, getattr(double, name)) < LIMIT


def test_tokens(numbers, double):
    """The reference ran all 77 places, of which the text fills the first five."""
    ids = encode(str(numbers["prompt"]))
    assert numbers["input_ids"][0].tolist() == ids + [49407] * (77 - len(ids))
    assert numbers["attention_mask"][0].sum() == len(ids) == len(double.token_emb)
    places = numbers["token_emb_index"]
    real = places < double.token_emb.numel()
    found = double.token_emb.flatten().numpy()[places[real]]
    assert real.sum() > 50
    assert (
        np.abs(found - numbers["token_emb_values"][real]).max()
        < LIMIT * numbers["token_emb_stats"][2]
    )


def test_the_same_query_and_every_pixel(numbers, double):
    assert double.matched_id == numbers["matched_id"]
    assert double.score.item() == pytest.approx(numbers["similarity"].max(), abs=1e-5)
    assert ((double.logits.numpy() > 0) == (numbers["logits"] > 0)).all()
    assert 0.05 < (numbers["logits"] > 0).mean() < 0.95


@pytest.mark.parametrize("name", UP_TO_MASK_FEATURES)
def test_single_precision(numbers, single, name):
    assert error(numbers, name, getattr(single, name)) < LIMIT


def overlap(a, b) -> float:
    return (a & b).sum() / (a | b).sum()


def test_mask_in_single_precision(numbers, single):
    assert overlap(single.logits.numpy() > 0, numbers["logits"] > 0) > 0.99
