import json
import time

import numpy as np
import pytest
import torch

from fsar_core.backbones.demo_cnn import DemoCNN
from fsar_core.data.augmentation import draw
from fsar_core.errors import FsarError
from fsar_core.runtime.devices import Meter
from fsar_core.runtime.seeding import rng
from fsar_core.specs import AugmentationSpec, ViewPolicy
from fsar_core.store_kinds import features as feature_store
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import write_job
from tests.builders import toy_feature_spec, toy_frame_spec

CPU = torch.device("cpu")
CLIPS, FAILED, TRAIN = 70, frozenset({2, 66}), frozenset({0, 1, 2, 5, 65})
SHAPE = [3, 4, 4, 4]  # frames dim height width at layer2 of a 16-pixel crop


class Frames:
    """What `blocks` needs of a frame store's reader: 3 frames of 24 x 24 pixels in two views."""

    failed = FAILED

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.values = random.integers(0, 256, (CLIPS, 2, 3, 24, 24, 3), np.uint8)

    def read(self, rows, view=0, threads=1):
        assert not self.failed.intersection(rows.tolist())
        return self.values[rows, view]


@pytest.fixture(scope="module")
def frames() -> Frames:
    return Frames()


@pytest.fixture(scope="module")
def backbone() -> DemoCNN:
    torch.manual_seed(0)
    made = DemoCNN(dim=8)
    for stage in made.stages.values():
        torch.nn.init.uniform_(stage[1].running_mean, -0.5, 0.5)
    return made


def spec_of(**changes):
    return toy_feature_spec(frames=3, views=2, cut="layer2", crop=16, **changes)


def all_blocks(spec, backbone, frames, rows, batch_clips=4, shape=SHAPE):
    return list(feature_store.blocks(spec, backbone, frames, TRAIN, shape, rows, batch_clips, CPU))


@torch.inference_mode()
def direct(backbone, clip: np.ndarray) -> np.ndarray:
    """The activations of one clip [frames height width channels], frame by frame, from its central 16 x 16 pixels."""
    stages = backbone.eval().stages
    out = []
    for frame in clip[:, 4:20, 4:20]:
        image = torch.from_numpy(frame.astype(np.float32).transpose(2, 0, 1))[None]
        out.append(stages["layer2"](stages["layer1"]((image / 255 - 0.45) / 0.225))[0].numpy())
    return np.stack(out)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_blocks_are_the_direct_forward_pass(backbone, frames, dtype):
    backbone.train()
    found = all_blocks(spec_of(dtype=dtype), backbone, frames, range(CLIPS))
    assert [arrays["features"].shape for arrays, *_ in found] == [(64, 2, *SHAPE), (6, 2, *SHAPE)]
    values = np.concatenate([arrays["features"] for arrays, *_ in found])
    assert values.dtype == dtype
    for row in range(CLIPS):
        for view in range(2):
            if row in FAILED or (view == 1 and row not in TRAIN):
                assert not values[row, view].any()
            else:
                expected = direct(backbone, frames.values[row, view])
                np.testing.assert_allclose(values[row, view], expected, rtol=2e-3, atol=1e-4)
                assert values[row, view].any()


def test_failed_clips_stay_failed(backbone, frames):
    found = all_blocks(spec_of(), backbone, frames, range(CLIPS))
    problem = "failed in the frame store"
    assert [block.failures for block in found] == [
        [{"row": 2, "path": "", "problem": problem}],
        [{"row": 66, "path": "", "problem": problem}],
    ]


SUPPORT = ViewPolicy(crop="random", flip=0.0)
QUERY = ViewPolicy(crop="centre", flip=1.0)


def test_baked_views_are_augmented_and_the_test_view_is_not(backbone):
    """Odd views by the support's policy, even ones by the query's; each clip has a draw of its own."""
    wide = Frames()
    wide.values = np.repeat(wide.values[:, :1], 4, axis=1)  # four stored views of the same frames
    frames = toy_frame_spec(count=3, views=4, seed=5)
    spec = spec_of(dtype="float32").model_copy(
        update={"frames": frames, "augmentation": AugmentationSpec(support=SUPPORT, query=QUERY)}
    )
    assert spec.training_views() == ((1, 3), (2,))
    values = np.concatenate(
        [arrays["features"] for arrays, *_ in all_blocks(spec, backbone, wide, range(CLIPS))]
    )
    corners = set()
    for row in sorted(TRAIN - FAILED):
        clip = wide.values[row, 0]
        np.testing.assert_allclose(values[row, 0], direct(backbone, clip), rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(
            values[row, 2], direct(backbone, clip[:, :, ::-1]), rtol=2e-3, atol=1e-4
        )
        for view in (1, 3):
            drawn = draw(SUPPORT, 24, 16, rng(5, "augmentation", "toy", row, view))
            moved = np.roll(
                clip, (4 - drawn.top, 4 - drawn.left), axis=(1, 2)
            )  # the drawn corner comes to the centre's
            np.testing.assert_allclose(
                values[row, view], direct(backbone, moved), rtol=2e-3, atol=1e-4
            )
            corners.add((drawn.top, drawn.left))
    assert len(corners) > 4


@pytest.mark.parametrize("batch_clips", [1, 5, 200])
def test_the_batch_size_does_not_matter(backbone, frames, batch_clips):
    whole = all_blocks(spec_of(dtype="float32"), backbone, frames, range(CLIPS), 16)[1][0][
        "features"
    ]
    found = all_blocks(spec_of(dtype="float32"), backbone, frames, range(64, CLIPS), batch_clips)
    assert len(found) == 1
    np.testing.assert_allclose(found[0][0]["features"], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cut", "shape"), [("layer1", [3, 2, 8, 8]), ("layer2", [3, 4, 4, 4]), ("layer4", [3, 8, 1, 1])]
)
def test_plan(backbone, cut, shape):
    spec = toy_feature_spec(frames=3, views=2, cut=cut, crop=16, dtype="float32")
    plan = feature_store.plan(spec, backbone, clips=200, clips_per_job=100)
    assert plan.shapes == {"features": shape} and plan.dtypes == {"features": "float32"}
    assert (plan.clips, plan.views, plan.clips_per_job, plan.jobs) == (200, 2, 128, 2)
    assert plan.spec == json.loads(spec.json_text)


def test_from_frames_to_a_sealed_store(backbone, frames, tmp_path):
    spec = spec_of()
    plan = feature_store.plan(spec, backbone, CLIPS, 64)
    create(tmp_path, plan)
    for job in range(plan.jobs):
        made = all_blocks(spec, backbone, frames, plan.rows(job), shape=plan.shapes["features"])
        write_job(tmp_path, job, iter(made), tmp_path / "receipts" / f"{job}.json")
    seal(tmp_path, max_failures=0.1)
    reader = StoreReader(tmp_path, "features", spec)
    assert reader.failed == FAILED
    expected = direct(backbone, frames.values[65, 1])
    np.testing.assert_allclose(reader.read_clip(65, 1), expected, rtol=2e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_overflow_of_float16_is_detected_by_the_writer(frames, tmp_path):
    """White gives 27 x 2.44 x 1000 = 66,000 at layer1, above float16's 65,504; grey gives 118."""
    backbone = DemoCNN(dim=8)
    with torch.no_grad():
        backbone.stages["layer1"][0].weight.fill_(1.0)
        backbone.stages["layer1"][1].weight.fill_(1000.0)
    bright = Frames()
    bright.values[:] = 115
    bright.values[33] = 255
    for dtype in ("float16", "float32"):
        spec = toy_feature_spec(frames=3, views=2, cut="layer1", crop=16, dtype=dtype)
        plan = feature_store.plan(spec, backbone, 64, 64)
        store = tmp_path / dtype
        create(store, plan)
        made = all_blocks(spec, backbone, bright, range(64), shape=plan.shapes["features"])
        if dtype == "float16":
            with pytest.raises(
                FsarError, match=r"'features' row 33: not finite in float16; .*`dtype: float32`"
            ):
                write_job(store, 0, iter(made), store / "receipts/0.json")
            assert not (store / "receipts/0.json").exists()
        else:
            write_job(store, 0, iter(made), store / "receipts/0.json")
            assert made[0][0]["features"].max() == pytest.approx(
                27_000 * (1 - 0.45) / 0.225, rel=1e-4
            )


def test_mixed_precision_is_of_a_gpu_only(backbone, frames):
    """And the meter counts what is waited for frames."""
    meter = Meter()
    mixed = feature_store.blocks(
        spec_of(), backbone, frames, TRAIN, SHAPE, range(8), 4, CPU, True, meter
    )
    for found, full in zip(mixed, all_blocks(spec_of(), backbone, frames, range(8)), strict=True):
        np.testing.assert_array_equal(found.arrays["features"], full.arrays["features"])
    assert 0 < meter.waited < time.perf_counter() - meter.started


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("mixed", [False, True])
def test_on_a_gpu_blocks_are_those_of_the_cpu(backbone, frames, mixed):
    expected = all_blocks(spec_of(dtype="float32"), backbone, frames, range(CLIPS))
    gpu, spec = torch.device("cuda"), spec_of(dtype="float32")
    found = list(
        feature_store.blocks(spec, backbone, frames, TRAIN, SHAPE, range(CLIPS), 4, gpu, mixed)
    )
    backbone.cpu()
    # In float32 (without TF32, see conftest.py) only the order of sums differs; half precision rounds to 11 bits.
    limit = 5e-3 if mixed else 1e-4
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            one.arrays["features"], other.arrays["features"], rtol=limit, atol=limit
        )
