"""Reading ahead: order, one item ahead, errors where they belong, and how an item gets to a GPU."""

from __future__ import annotations

import contextlib
import threading

import pytest
import torch

from fsar_core.episodes.loader import EpisodeFeatures
from fsar_core.runtime import prefetch
from fsar_core.runtime.prefetch import arrived, prefetched

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", [None, CPU])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_in_order_and_as_they_were_read(device, count):
    read = {number: torch.full((2,), float(number)) for number in range(count)}
    found = list(prefetched(read.__getitem__, range(count), device))
    assert len(found) == count and all(item is read[number] for number, item in enumerate(found))


def test_one_ahead_in_another_thread_and_no_further():
    asked, readers = [], set()

    def items():
        for number in range(100):
            asked.append(number)
            yield number

    def make(number):
        readers.add(threading.current_thread())
        return torch.tensor(number)

    threads = threading.active_count()
    coming = prefetched(make, items(), CPU)
    for expected in (2, 3, 4):
        next(coming)
        assert len(asked) == expected
    coming.close()
    assert (
        threading.active_count() == threads
        and threading.current_thread() not in readers
        and len(readers) == 1
    )


def test_an_error_comes_where_its_item_would_have():
    def make(number):
        if number == 2:
            raise ValueError("broken")
        return torch.tensor(number)

    coming = prefetched(make, range(5), CPU)
    assert [int(next(coming)), int(next(coming))] == [0, 1]
    with pytest.raises(ValueError, match="broken"):
        next(coming)


def test_the_way_to_a_gpu(monkeypatch):
    """Page-locked, copied on a stream of its own without waiting; the caller's stream waits before the item is used."""
    told, gpu = [], torch.device("cuda", 0)

    class Stream:
        def record_event(self):
            told.append("copied")
            return "event"

        def wait_event(self, event):
            told.append(f"wait for {event}")

    class Item:
        def pin_memory(self):
            told.append("pinned")
            return self

        def to(self, device, non_blocking):
            told.append((device, non_blocking, inside[-1]))
            return self

        def record_stream(self, stream):
            told.append("kept for the caller" if stream is current else "")

    current, copying, inside = Stream(), Stream(), [None]

    @contextlib.contextmanager
    def on(stream):
        inside.append(stream)
        yield
        inside.pop()

    monkeypatch.setattr(prefetch, "_copying", lambda device: copying)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    assert isinstance(next(prefetched(lambda _: Item(), [0], gpu)), Item)
    assert told == [
        "pinned",
        (gpu, True, copying),
        "copied",
        "wait for event",
        "kept for the caller",
    ]


def features() -> EpisodeFeatures:
    support, query = torch.arange(24.0).reshape(1, 2, 3, 4), torch.arange(8.0).reshape(1, 2, 4)
    return EpisodeFeatures(
        support, query, torch.tensor([[1, 0]]), {"masks": query[..., None].expand(1, 2, 4, 3)}
    )


def test_every_tensor_of_a_batch_moves():
    batch, moved = features(), features().to(torch.device("meta"))
    names = ("support", "query", "labels")
    assert (
        {getattr(moved, name).device.type for name in names}
        == {moved.aux["masks"].device.type}
        == {"meta"}
    )
    assert [getattr(moved, name).shape for name in names] == [
        getattr(batch, name).shape for name in names
    ]
    kept = []

    class Told(torch.Tensor):
        def record_stream(self, stream):
            kept.append((self.shape, stream))

    told = EpisodeFeatures(
        *(getattr(batch, name).as_subclass(Told) for name in names),
        {"a": torch.ones(7).as_subclass(Told)},
    )
    told.record_stream("stream")
    assert [shape for shape, _ in kept] == [
        batch.support.shape,
        batch.query.shape,
        batch.labels.shape,
        (7,),
    ]
    assert {stream for _, stream in kept} == {"stream"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_it_is_what_was_read():
    """While the caller's kernels still run, the next items come; not one of them may be mixed up."""
    gpu = torch.device("cuda", torch.cuda.current_device())
    read = [torch.full((256, 1024), float(number)) for number in range(40)]
    heavy, sums = torch.ones(1024, 1024, device=gpu), []
    for item in prefetched(read.__getitem__, range(40), gpu):
        assert item.device == gpu
        sums.append((item @ heavy @ heavy).sum() / (256 * 1024**3))
    assert [round(float(total)) for total in sums] == list(range(40))

    def copies():
        for number in range(20):
            made = torch.full((512, 1024), float(number), device=gpu) @ heavy / 1024
            yield torch.empty(made.shape, pin_memory=True).copy_(made, non_blocking=True)

    assert [(array.min(), array.max()) for array in arrived(copies(), gpu)] == [
        (n, n) for n in range(20)
    ]
    (batch,) = prefetched(lambda _: features(), [0], gpu)
    assert torch.equal(batch.support.cpu(), features().support) and batch.aux["masks"].device == gpu


def test_what_a_cpu_made_is_there_at_once():
    made = []

    def tensors():
        for number in range(3):
            made.append(number)
            yield torch.full((2,), float(number))

    found = arrived(tensors(), CPU)
    for number in range(3):
        assert next(found).tolist() == [number, number] and made == list(range(number + 1))
    assert list(found) == []
