"""What inputs read for the clips of episodes, and that no input of training reaches a test."""

import numpy as np
import pytest
import torch

from fsar_core import inputs
from fsar_core.components import registry
from fsar_core.components.registry import KINDS
from fsar_core.data.index import index_identity
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.errors import FsarError
from fsar_core.inputs.actionness import ActionnessSource
from fsar_core.inputs.bank import EpisodeBank
from fsar_core.inputs.base import Source
from fsar_core.inputs.class_ids import ClassSource
from fsar_core.inputs.instance_masks import MaskSource
from fsar_core.specs import AugmentationSpec, ClassifierSpec, Component, ViewPolicy
from fsar_core.storage import checkpoint
from fsar_core.store_kinds.features import _seen
from tests.builders import toy_feature_spec, toy_frame_spec, toy_index
from tests.episodes.test_loader import NO_MEMORY, POLICIES, episodes_of
from tests.training.toys import ArrayReader, run_spec


def test_every_input_is_declared_by_its_module():
    assert inputs.names() == ("actionness", "class_ids", "frame_classifier", "instance_masks")
    for name in inputs.names():
        each = inputs.get(name)
        assert each.name == name and each.module == f"fsar_core.inputs.{name}"
    assert [inputs.get(name).key for name in inputs.names()] == [
        *("saliency", "class_ids", "classifier", "masks")
    ]
    with pytest.raises(
        FsarError, match="unknown input 'instance_mask'; did you mean 'instance_masks'"
    ):
        inputs.get("instance_mask")


def test_heads_ask_for_inputs_that_exist():
    assert "heads" in KINDS
    for head in registry.names("heads"):
        assert set(registry.entry("heads", head).attributes["inputs"]) <= set(inputs.names()), head


def test_a_head_asks_by_its_parameters():
    def asked(head, **params):
        return [each.name for each in inputs.wanted(Component(name=head, params=params))]

    assert asked("identity") == []
    assert asked("i2st") == ["class_ids", "instance_masks"] and asked("i2st", mask_weight=0) == [
        "class_ids"
    ]
    assert asked("sgtm") == ["actionness"] and asked("sgtm", saliency="live") == [
        "frame_classifier"
    ]
    assert asked("sgtm", mask="random") == []


def test_a_model_is_trained_with_what_its_spec_records_or_episodes_tell():
    spec = run_spec().model_copy(update={"head": Component(name="i2st", params={"mask_weight": 0})})
    assert [each.name for each in inputs.of_model(spec)] == ["class_ids"]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_classifier_of_other_clips_is_refused(tmp_path, recorded):
    features = toy_feature_spec()
    settings = dict(epochs=1, batch=8, lr=0.01, weight_decay=0.0, hidden=4, dropout=0.0, kernel=1)
    spec = ClassifierSpec(
        features=features, rectified=True, loss="cross_entropy", seed=0, **settings
    )
    listed, other = toy_index({"train": 2}, clips=3), toy_index({"train": 2}, clips=4)
    value = {"run": spec.digest, "model": {}}
    if recorded:
        value["inputs"] = {"index": index_identity(listed)}
    path = tmp_path / "classifier.pt"
    checkpoint.save(path, value)
    wanted = inputs.get("frame_classifier")
    assert wanted.open(path, spec, run_spec(), listed).digests.keys() == {"classifier"}
    if recorded:
        with pytest.raises(FsarError, match=r"classifier\.pt: trained on other clips than"):
            wanted.open(path, spec, run_spec(), other)
    else:
        wanted.open(path, spec, run_spec(), other)


class Curious(Source):
    """An input of tests that would tell a head the label of a query."""

    at_test = True

    def batch(self, episodes):
        return ClassSource().batch(episodes)


def test_the_class_of_a_query_is_not_known_in_a_test(split):
    rows = np.concatenate(split.rows)
    values = np.zeros((int(rows.max()) + 1, 1, 3, 4, 1, 1), np.float32)
    bank = FeatureBank(ArrayReader(values), rows, 1.0)
    with pytest.raises(FsarError, match="ClassSource: given in training only"):
        EpisodeBank(bank, [ClassSource()], "test")
    with pytest.raises(RuntimeError, match="out of bounds"):
        EpisodeBank(bank, [Curious()], "test").batch(episodes_of(split, 1))


def masks_of(reader_values):
    """An array reader of masks: the red channel of the frames."""

    class Masks:
        failed = frozenset()
        clips, views = reader_values.shape[:2]
        clip_shape = reader_values.shape[2:5]
        clip_bytes = reader_values[0, 0, ..., 0].nbytes

        def read(self, rows, view=0, threads=1):
            return reader_values[rows, view, ..., 0]

    return Masks()


def feature_spec(cut, augmentation):
    frames = toy_frame_spec(count=2, size=12, views=5)
    return toy_feature_spec().model_copy(
        update=dict(frames=frames, cut=cut, crop=8, augmentation=augmentation)
    )


BOTH_RANDOM = AugmentationSpec(
    support=ViewPolicy(crop="random", flip=0.5), query=ViewPolicy(crop="random", flip=0.5)
)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("augmentation", [None, POLICIES, BOTH_RANDOM])
def test_masks_follow_the_crop_and_the_mirror_of_live_frames(
    frame_store, split, augmentation, batch
):
    reader, values = frame_store
    rows, spec = np.concatenate(split.rows), feature_spec("frames", augmentation)
    frames = FrameBank(reader, rows, 1.0, many_views=rows, crop=8, augmentation=augmentation)
    masks = MaskSource(masks_of(values), spec).load(rows, 1.0, many_views=rows)
    episodes = [
        e.for_training(((0, 1), (0, 1)), 10 + n) for n, e in enumerate(episodes_of(split, batch))
    ]
    seen, found = frames.batch(episodes), masks.batch(episodes)
    assert (
        found["support_masks"].shape == (batch, 3, 2, 2, 8, 8)
        and found["query_masks"].dtype == torch.float32
    )
    for side in ("support", "query"):
        torch.testing.assert_close(
            found[f"{side}_masks"], getattr(seen, side)[..., 0, :, :].float() / 255
        )


@pytest.mark.parametrize("augmentation", [None, POLICIES, BOTH_RANDOM])
def test_masks_follow_the_crop_and_the_mirror_of_stored_views(split, augmentation):
    spec = feature_spec("layer4", augmentation)
    count = int(np.concatenate(split.rows).max()) + 1
    values = np.random.default_rng(1).integers(0, 256, (count, 5, 2, 12, 12, 3), np.uint8)
    rows, views = np.concatenate(split.rows), spec.training_views()
    masks = MaskSource(masks_of(values), spec).load(rows, 1.0, many_views=rows)
    episodes = [e.for_training(views, n) for n, e in enumerate(episodes_of(split, 3))]
    found, mirrored = masks.batch(episodes), 0
    for number, episode in enumerate(episodes):
        for side, part in (("support", episode.support), ("query", episode.query)):
            of_side = episode.views[side == "query"]
            for place in np.ndindex(part.shape):
                # What the backbone saw of this view when the features were stored.
                row, view = int(part[place]), int(of_side[place])
                seen = _seen(spec, values[row, view], row, view)[:, 0].float() / 255
                torch.testing.assert_close(found[f"{side}_masks"][number][place], seen)
                mirrored += bool(spec.policy_of(view)) and spec.policy_of(view).flip > 0
    assert (mirrored > 0) == (augmentation is not None)


def test_what_training_is_given_beside_features(frame_store, split):
    reader, values = frame_store
    rows = np.concatenate(split.rows)
    bank = FrameBank(reader, rows, 1.0, many_views=rows, crop=8)
    episodes = [e.for_training(((0, 1), (0, 1)), n) for n, e in enumerate(episodes_of(split, 2))]
    plain, given = bank.batch(episodes), EpisodeBank(bank, [ClassSource()]).batch(episodes)
    assert (
        plain.aux == {}
        and torch.equal(given.support, plain.support)
        and torch.equal(given.query, plain.query)
    )
    assert set(given.aux) == {"labels", "support_classes", "query_classes"}
    for number, episode in enumerate(episodes):
        assert given.aux["labels"][number].tolist() == episode.labels.tolist()
        assert (
            given.aux["query_classes"][number].tolist() == episode.classes[episode.labels].tolist()
        )
        assert given.aux["support_classes"][number].tolist() == [[c] * 2 for c in episode.classes]
    masks = MaskSource(masks_of(values), feature_spec("frames", None)).load(
        rows, 1.0, many_views=rows
    )
    with_masks = EpisodeBank(bank, [ClassSource(), masks]).batch(episodes)
    assert set(with_masks.aux) - set(given.aux) == {"support_masks", "query_masks"}
    moved = with_masks.to(torch.device("meta"))
    assert {value.device.type for value in moved.aux.values()} == {"meta"}


@pytest.mark.parametrize("memory_gib", [1.0, NO_MEMORY])
def test_actionness_is_that_of_the_views_that_an_episode_takes(split, memory_gib):
    rows = np.concatenate(split.rows)
    values = np.random.default_rng(2).random((int(rows.max()) + 1, 3, 4)).astype(np.float32)
    saliency = ActionnessSource(ArrayReader(values)).load(rows, memory_gib, many_views=rows)
    episodes = [e.for_training(((1, 2), (0, 1)), n) for n, e in enumerate(episodes_of(split, 3))]
    found = saliency.batch(episodes)
    assert set(found) == {"support_saliency", "query_saliency"}
    assert (
        found["support_saliency"].shape == (3, 3, 2, 4)
        and found["query_saliency"].dtype == torch.float32
    )
    for number, episode in enumerate(episodes):
        for side, part in (("support", episode.support), ("query", episode.query)):
            views = episode.views[side == "query"]
            np.testing.assert_array_equal(found[f"{side}_saliency"][number], values[part, views])
    assert {int(view) for e in episodes for view in e.views[0].reshape(-1)} == {1, 2}
    bank = FeatureBank(
        ArrayReader(np.zeros((len(values), 3, 4, 2, 1, 1), np.float32)), rows, 1.0, many_views=rows
    )
    given = EpisodeBank(bank, [saliency]).batch(episodes)
    assert set(given.aux) == set(found) and bank.batch(episodes).aux == {}


def test_masks_that_are_held_out_are_not_told(frame_store, split):
    _, values = frame_store
    rows = np.concatenate(split.rows)
    held = rows[::3]
    features = feature_spec("frames", BOTH_RANDOM)
    masks = MaskSource(masks_of(values), features, held).load(rows, 1.0, many_views=rows)
    whole = MaskSource(masks_of(values), features).load(rows, 1.0, many_views=rows)
    episodes = [
        e.for_training(((0, 1), (0, 1)), 10 + n) for n, e in enumerate(episodes_of(split, 3))
    ]
    found, told = masks.batch(episodes), whole.batch(episodes)
    for side in ("support", "query"):
        kept = np.isin(np.stack([getattr(e, side) for e in episodes]), held)
        assert kept.any() and not kept.all() and not told[f"{side}_masks"].isnan().any()
        assert found[f"{side}_masks"][torch.from_numpy(kept)].isnan().all()
        torch.testing.assert_close(
            found[f"{side}_masks"][torch.from_numpy(~kept)], told[f"{side}_masks"][~kept]
        )
    # The test view: what is held out is told to those who ask for it, at the centre.
    centre = torch.from_numpy(values[held[:2], 0, :, 2:10, 2:10, 0]).float() / 255
    torch.testing.assert_close(masks.of_test_view(held[:2]), centre)
