"""Masks that come with a data set: the right masks of the right frames, resized and cut as the frames are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsar_core.components.mask_provider import ClipFrames
from fsar_core.components.registry import build
from fsar_core.data.transforms import fit_square
from fsar_core.errors import FsarError
from fsar_core.mask_providers.annotated import Annotated, located
from fsar_core.store_kinds.frames import frames_taken
from tests.builders import toy_frame_spec

FRAMES, HEIGHT, WIDTH = 12, 20, 30
SOURCE = "masks/{folder}/{video}.png"


def record(**changes) -> dict:
    """A row of a clip index."""
    usual = dict(
        row=0,
        split="train",
        path="videos/a class/clip.01.mp4",
        file="videos/a class/clip.01.mp4",
        decoder="decord",
    )
    return (
        usual
        | {"class": "a", "frames": FRAMES, "fps": 24.0, "height": HEIGHT, "width": WIDTH}
        | changes
    )


def clip_of(spec, **changes) -> ClipFrames:
    made = record(**changes)
    return ClipFrames(made, frames_taken(spec, made), None, made["class"])


def soft_masks(frames=FRAMES, height=HEIGHT, width=WIDTH, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width), dtype=np.uint8)


def write_sheet(path: Path, masks: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(masks.reshape(-1, masks.shape[-1])).save(path)


def write_folder(path: Path, masks: np.ndarray) -> None:
    """A PNG a frame; the names are without leading zeros, so that their order is the natural one."""
    path.mkdir(parents=True)
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(path / f"{number}.png")


def of(folder, spec, clip, values="soft", source=SOURCE):
    provider = build(
        "instance_masks", "annotated", values=values, folder=folder, source=source, frames=spec
    )
    (found,) = provider([clip])
    if isinstance(found, str):
        return found
    assert found.score is None
    return found.masks


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_masks_are_resized_and_cut_like_the_frames(tmp_path, fit, views):
    """Frames whose grey values are the masks stay equal to the masks, pixel by pixel."""
    spec = toy_frame_spec(fit=fit, views=views, size=16, count=4, policy="linspace")
    masks, clip = soft_masks(), clip_of(spec)
    write_sheet(tmp_path / "masks/a class/clip.01.png", masks)
    found = of(tmp_path, spec, clip)
    assert found.shape == (views, 4, 16, 16) and found.dtype == np.uint8
    frames = np.repeat(masks[..., None], 3, axis=-1)
    for view, taken in enumerate(frames_taken(spec, record())):
        np.testing.assert_array_equal(found[view], fit_square(frames[taken], 16, fit)[..., 0])


def test_a_sheet_and_a_folder_are_the_same(tmp_path):
    spec, masks = toy_frame_spec(size=16), soft_masks()
    write_sheet(tmp_path / "masks/a class/clip.01.png", masks)
    write_folder(tmp_path / "single/clip.01", masks)
    np.testing.assert_array_equal(
        of(tmp_path, spec, clip_of(spec)),
        of(tmp_path, spec, clip_of(spec), source="single/{video}"),
    )


def test_ids_are_instances_and_soft_values_stay(tmp_path):
    spec = toy_frame_spec(size=HEIGHT, fit="crop")
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    masks[:, 5:9, 10:14], masks[:, 12:15, 15:20] = 1, 2
    write_sheet(tmp_path / "masks/a class/clip.01.png", masks)
    ids, soft = (of(tmp_path, spec, clip_of(spec), values) for values in ("ids", "soft"))
    assert set(np.unique(ids)) == {0, 255} and set(np.unique(soft)) == {0, 1, 2}
    np.testing.assert_array_equal(ids > 0, soft > 0)
    assert (ids[0, 0, 5:9, 5:9] == 255).all() and ids[0, 0].sum() == 255 * (16 + 15)


def test_masks_of_16_bits(tmp_path):
    """Soft ones are scaled to the nearest of 256 levels; numbers of instances only have to differ from 0."""
    spec, path = toy_frame_spec(size=HEIGHT, fit="crop"), tmp_path / "masks/a class/clip.01.png"
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint16)
    masks[:, 0, 10:15] = [128, 129, 300, 32896, 65535]
    write_sheet(path, masks)
    soft, ids = (of(tmp_path, spec, clip_of(spec), values) for values in ("soft", "ids"))
    # The centre of 20 x 30 pixels begins at column 5.
    assert soft[0, 0, 0, 5:10].tolist() == [0, 1, 1, 128, 255] and not soft[0, 0, 1:].any()
    assert ids[0, 0, 0, 5:10].tolist() == [255] * 5
    write_sheet(path, np.zeros((FRAMES, HEIGHT, WIDTH), np.uint16))
    assert not of(tmp_path, spec, clip_of(spec)).any()


@given(
    st.integers(8, 40),
    st.integers(8, 40),
    st.integers(1, 20),
    st.sampled_from(["crop", "squash"]),
    st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_alignment_at_any_size(tmp_path_factory, height, width, frames, fit, seed):
    spec = toy_frame_spec(fit=fit, size=16, count=3)
    clip = clip_of(spec, frames=frames, height=height, width=width)
    masks, folder = soft_masks(frames, height, width, seed), tmp_path_factory.mktemp("masks")
    write_sheet(folder / "masks/a class/clip.01.png", masks)
    expected = fit_square(np.repeat(masks[..., None], 3, axis=-1)[clip.taken[0]], 16, fit)[..., 0]
    np.testing.assert_array_equal(of(folder, spec, clip)[0], expected)


def test_where_the_masks_of_a_clip_lie():
    assert located("m/{folder}/{video}.png", record(file="videos/x/b.c.mp4")) == "m/x/b.c.png"
    assert located("m/{video}", record(file="x/b.c", decoder="pictures")) == "m/b.c"
    assert located("{video}_{folder}.png", record(file="one.avi")) == "one_.png"


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (None, "no masks 'clip.01.png'"),
        (soft_masks(FRAMES - 1), "masks 'clip.01.png' are 220 x 30 pixels, expected 240 x 30"),
        (soft_masks(width=31), "masks 'clip.01.png' are 240 x 31 pixels, expected 240 x 30"),
        (b"no picture", "masks 'clip.01.png' not readable as a picture (UnidentifiedImageError)"),
        (
            np.zeros((FRAMES * HEIGHT, WIDTH, 3), np.uint8),
            "masks 'clip.01.png' have 3 axes, expected a grey picture",
        ),
        (
            np.full((FRAMES * HEIGHT, WIDTH), 255, np.uint16),
            "masks 'clip.01.png' have 16 bits, but no value above 255 of 65535; save them with 8 bits",
        ),
        (
            np.ones((FRAMES * HEIGHT, WIDTH), bool),
            "masks 'clip.01.png' are bool, expected 8 or 16 bits",
        ),
    ],
)
def test_what_is_wrong_with_a_sheet(tmp_path, made, problem):
    spec, path = toy_frame_spec(size=16), tmp_path / "masks/a class/clip.01.png"
    path.parent.mkdir(parents=True)
    if isinstance(made, bytes):
        path.write_bytes(made)
    elif made is not None:
        Image.fromarray(
            made.reshape(
                -1, *made.shape[1:] if made.ndim == 2 or made.shape[-1] == 3 else made.shape[2:]
            )
        ).save(path)
    assert of(tmp_path, spec, clip_of(spec)) == problem


@pytest.mark.parametrize(
    ("masks", "problem"),
    [
        (soft_masks(FRAMES + 1), "13 masks in 'clip.01' for 12 frames"),
        (soft_masks(height=19), "masks '0.png' are 19 x 30 pixels,"),
    ],
)
def test_what_is_wrong_with_a_folder(tmp_path, masks, problem):
    spec = toy_frame_spec(size=16)
    write_folder(tmp_path / "single/clip.01", masks)
    assert of(tmp_path, spec, clip_of(spec), source="single/{video}").startswith(problem)


def test_without_a_data_set_or_with_a_wrong_value():
    with pytest.raises(FsarError, match=r"^annotated: needs a data set with masks"):
        Annotated()([])
    with pytest.raises(FsarError, match="values='hard'"):
        build("instance_masks", "annotated", values="hard")


def test_masks_that_lead_out_of_the_data_sets_folder(tmp_path):
    spec = toy_frame_spec(count=4, size=16)
    write_sheet(tmp_path / "elsewhere" / "clip.01.png", soft_masks())
    (tmp_path / "set" / "masks").mkdir(parents=True)
    (tmp_path / "set" / "masks" / "a class").symlink_to(tmp_path / "elsewhere")
    told = of(tmp_path / "set", spec, clip_of(spec))
    assert told == "masks 'clip.01.png' are a link that leads out of the data set's folder"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")  # the folder itself may be one
    assert of(tmp_path / "link", spec, clip_of(spec), source="{video}.png").shape == (1, 4, 16, 16)
