import threading

import numpy as np
import pytest
import torch

from fsar_core.episodes import loader
from fsar_core.episodes.loader import EpisodeFeatures, FeatureBank, FrameBank, batches
from fsar_core.episodes.sampler import Split, sample
from fsar_core.inputs.bank import EpisodeBank
from fsar_core.inputs.class_ids import ClassSource
from fsar_core.specs import AugmentationSpec, ViewPolicy
from fsar_core.store_kinds.frames import plan as frame_store_plan
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block, write_job
from tests.builders import toy_feature_store, toy_features, toy_frame_spec, toy_index

SHAPE = dict(frames=3, dim=4, height=2, width=2)
NO_MEMORY = 1e-9


@pytest.fixture(scope="module")
def index():
    return toy_index({"train": 4, "val": 3, "test": 3}, clips=5)


@pytest.fixture(scope="module", params=[1, 3], ids=["one view", "three views"])
def stored(request, tmp_path_factory, index):
    """(reader, everything that the store holds)"""
    path, spec = toy_feature_store(
        tmp_path_factory.mktemp("store"), index, views=request.param, **SHAPE
    )
    return StoreReader(path, "features", spec), toy_features(index, views=request.param, **SHAPE)


@pytest.fixture
def split(index):
    return Split.from_index(index, "train")


def episodes_of(split, count, shot=2, query=1, views=0):
    drawn = [sample(0, split, 3, shot, query, index) for index in range(count)]
    return (
        [e.for_training((range(views), range(views)), seed) for seed, e in enumerate(drawn)]
        if views
        else drawn
    )


@pytest.mark.parametrize("memory_gib", [1.0, NO_MEMORY])
def test_batches_are_the_stored_values(stored, split, memory_gib):
    reader, values = stored
    rows = np.concatenate(split.rows)
    bank = FeatureBank(reader, rows, memory_gib, threads=2, many_views=rows)
    assert bank.in_memory == (memory_gib == 1.0)
    episodes = episodes_of(split, 3, views=reader.views)
    batch = bank.batch(episodes)
    assert batch.support.shape == (3, 3, 2, 3, 4, 2, 2) and batch.query.shape == (3, 3, 3, 4, 2, 2)
    assert (
        batch.support.dtype == batch.query.dtype == torch.float16
        and batch.labels.dtype == torch.int64
    )
    for number, episode in enumerate(episodes):
        support_views, query_views = episode.views
        np.testing.assert_array_equal(batch.support[number], values[episode.support, support_views])
        np.testing.assert_array_equal(batch.query[number], values[episode.query, query_views])
        np.testing.assert_array_equal(batch.labels[number], episode.labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("fits", [True, False])
def test_on_a_gpu_the_rows_are_held_there_where_they_fit(stored, split, monkeypatch, fits):
    reader, _ = stored
    rows, gpu = np.concatenate(split.rows), torch.device("cuda", torch.cuda.current_device())
    if not fits:
        monkeypatch.setattr(loader, "room", lambda device, memory_gib: 0)
    bank = FeatureBank(reader, rows, 1.0, many_views=rows, device=gpu)
    assert bank.clips(rows[:1]).is_cuda == fits
    plain, episodes = (
        FeatureBank(reader, rows, 1.0, many_views=rows),
        episodes_of(split, 9, views=reader.views),
    )
    found = list(batches(EpisodeBank(bank, [ClassSource()]), episodes, 2, gpu))
    for batch, other in zip(
        found, batches(EpisodeBank(plain, [ClassSource()]), episodes, 2), strict=True
    ):
        for name in ("support", "query", "labels"):
            assert (
                getattr(batch, name).device == gpu
                and getattr(batch, name).dtype == getattr(other, name).dtype
            )
            assert torch.equal(getattr(batch, name).cpu(), getattr(other, name))
        assert {name: part.tolist() for name, part in batch.aux.items()} == {
            n: p.tolist() for n, p in other.aux.items()
        }


@pytest.mark.parametrize("memory_gib", [1.0, NO_MEMORY])
def test_view_0_where_none_is_drawn(stored, split, memory_gib):
    reader, values = stored
    rows = np.concatenate(split.rows)
    bank = FeatureBank(reader, rows, memory_gib, many_views=rows)
    episode = episodes_of(split, 1)[0]
    np.testing.assert_array_equal(bank.batch([episode]).support[0], values[episode.support, 0])
    np.testing.assert_array_equal(bank.clips(episode.query), values[episode.query, 0])


def test_memory_is_counted_and_views_are_read_only_where_asked(stored):
    reader, _ = stored
    reads = []

    class Spy:
        def __getattr__(self, name):
            return getattr(reader, name)

        def read(self, rows, view=0, threads=1):
            reads.extend((int(row), view) for row in rows)
            return reader.read(rows, view, threads)

    rows, train = np.array([7, 3, 3, 30]), np.array([3, 7])
    clips = 3 + 2 * (reader.views - 1)
    needed = clips * 3 * 4 * 2 * 2 * 2 / 2**30
    assert FeatureBank(Spy(), rows, needed, many_views=train).in_memory
    assert sorted(reads) == sorted(
        [(3, 0), (7, 0), (30, 0), *((r, v) for v in range(1, reader.views) for r in train)]
    )
    reads.clear()
    assert not FeatureBank(Spy(), rows, needed * 0.999, many_views=train).in_memory
    assert reads == []
    assert FeatureBank(Spy(), rows, 1.0).in_memory
    assert sorted(reads) == [(3, 0), (7, 0), (30, 0)]


def test_rows_that_are_not_held_are_no_other_rows(stored):
    bank = FeatureBank(stored[0], np.array([0, 1]), 1.0)
    with pytest.raises(KeyError, match="row 2"):
        bank.clips(np.array([1, 2]))


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 5, [2]), (0, 2, [])]
)
def test_batches_keep_the_order_and_the_last_partial_one(stored, split, count, size, sizes):
    reader, values = stored
    bank = FeatureBank(reader, np.concatenate(split.rows), 1.0)
    episodes = episodes_of(split, count)
    found = list(batches(bank, iter(episodes), size))
    assert [len(batch.labels) for batch in found] == sizes
    if count:
        support = torch.cat([batch.support for batch in found]).numpy()
        np.testing.assert_array_equal(support, values[np.stack([e.support for e in episodes]), 0])
        labels = torch.cat([batch.labels for batch in found]).numpy()
        np.testing.assert_array_equal(labels, np.stack([e.labels for e in episodes]))


def test_the_next_batch_is_read_ahead_and_no_further(stored, split):
    bank = FeatureBank(stored[0], np.concatenate(split.rows), 1.0)
    asked = []

    def endless():
        for number in range(10**6):
            asked.append(number)
            yield sample(0, split, 3, 1, 1, number)

    threads = threading.active_count()
    coming = batches(bank, endless(), 2)
    for expected in (4, 6, 8):
        next(coming)
        assert len(asked) == expected
    coming.close()
    assert threading.active_count() == threads


def test_a_reading_error_reaches_the_caller(stored, split):
    class Broken(FeatureBank):
        def batch(self, episodes):
            raise ValueError("broken")

    bank = Broken(stored[0], np.concatenate(split.rows), 1.0)
    with pytest.raises(ValueError, match="broken"):
        list(batches(bank, episodes_of(split, 3), 1))


def test_workers_that_share_the_numbers_share_the_episodes(split):
    """Public loaders draw equal episodes in every worker; here a worker draws what its numbers say."""

    def drawn(numbers):
        return {number: str(sample(5, split, 3, 1, 2, number)) for number in numbers}

    alone = drawn(range(24))
    assert len(set(alone.values())) == 24
    for workers in (2, 3):
        parts = [drawn(range(worker, 24, workers)) for worker in reversed(range(workers))]
        together = {number: episode for part in parts for number, episode in part.items()}
        assert together == alone


def test_moved_to_a_device():
    features = EpisodeFeatures(torch.zeros(1), torch.ones(1), torch.ones(1, dtype=torch.int64))
    moved = features.to(torch.device("meta"))
    assert [part.device.type for part in (moved.support, moved.query, moved.labels)] == ["meta"] * 3


@pytest.fixture(scope="module")
def frame_store(tmp_path_factory):
    """(reader, values) of 12 x 12 frames in two views."""
    index = toy_index({"train": 4, "val": 3, "test": 3}, clips=5)
    spec = toy_frame_spec(count=2, size=12, views=2)
    values = np.random.default_rng(0).integers(0, 256, (len(index), 2, 2, 12, 12, 3), np.uint8)
    store = tmp_path_factory.mktemp("frames")
    plan = frame_store_plan(spec, index, 64)
    create(store, plan)
    write_job(store, 0, [Block({"frames": values}, [])], store / "receipts" / "0.json")
    seal(store, max_failures=0.0)
    return StoreReader(store, "frames", spec), values


POLICIES = AugmentationSpec(
    support=ViewPolicy(crop="random", flip=0.0), query=ViewPolicy(crop="centre", flip=1.0)
)


@pytest.mark.parametrize("memory_gib", [1.0, NO_MEMORY])
def test_frames_are_cut_in_the_centre_for_a_test(frame_store, split, memory_gib):
    reader, values = frame_store
    bank = FrameBank(reader, np.concatenate(split.rows), memory_gib, crop=8, augmentation=POLICIES)
    episode = episodes_of(split, 1)[0]
    batch = bank.batch([episode])
    assert batch.support.dtype == torch.uint8 and batch.support.shape == (1, 3, 2, 2, 3, 8, 8)
    centre = values[:, 0, :, 2:10, 2:10].transpose(0, 1, 4, 2, 3)
    np.testing.assert_array_equal(batch.support[0], centre[episode.support])
    np.testing.assert_array_equal(batch.query[0], centre[episode.query])


def test_bytes_of_a_forward_pass(frame_store, stored, split):
    """They decide how many episodes a machine takes at once."""
    rows = np.concatenate(split.rows)
    frames, size, channels = 2, 8, 64
    bank = FrameBank(frame_store[0], rows, 1.0, crop=size, augmentation=POLICIES)
    assert bank.pass_bytes == 4 * frames * channels * (size // 2) ** 2
    reader, values = stored
    assert FeatureBank(reader, rows, 1.0).pass_bytes == 4 * values[0, 0].size


def test_support_and_queries_have_policies_of_their_own(frame_store, split):
    reader, values = frame_store
    rows = np.concatenate(split.rows)
    bank = FrameBank(reader, rows, 1.0, threads=2, many_views=rows, crop=8, augmentation=POLICIES)
    plain = episodes_of(split, 2)
    episodes = [e.for_training(((0, 1), (1,)), seed) for seed, e in enumerate(plain)]
    batch = bank.batch(episodes)
    mirrored = values[:, 1, :, 2:10, 2:10].transpose(0, 1, 4, 2, 3)[..., ::-1]
    corners = set()
    for number, episode in enumerate(episodes):
        np.testing.assert_array_equal(batch.query[number], mirrored[episode.query])
        for way, shot in np.ndindex(3, 2):
            whole = values[episode.support[way, shot], episode.views[0][way, shot]].transpose(
                0, 3, 1, 2
            )
            found = batch.support[number, way, shot].numpy()
            fits = [
                c
                for c in np.ndindex(5, 5)
                if (whole[:, :, c[0] : c[0] + 8, c[1] : c[1] + 8] == found).all()
            ]
            assert len(fits) == 1  # the same corner in both frames
            corners.add(fits[0])
    assert len(corners) > 3
    again = bank.batch([plain[0].for_training(((0, 1), (1,)), 0)])
    np.testing.assert_array_equal(again.support[0], batch.support[0])
