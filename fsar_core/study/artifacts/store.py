"""A store of any kind: planned, filled by several jobs, sealed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from fsar_core.specs import StoreSpec
from fsar_core.storage.places import Place
from fsar_core.stores import kinds
from fsar_core.stores.layout import STORE_FILES, job_count
from fsar_core.study.artifacts.base import CLIP_FRAMES, Artifact, Job, Volume, Work
from fsar_core.study.artifacts.graph import Graph


class Store(Artifact):
    """A sealed store. What it needs and how much work it is, its kind says (`store_kinds`)."""

    spec: StoreSpec
    wildcards = ("store",)
    location = ("stores", *(f"*/*/{name}" for name in STORE_FILES))
    is_folder = True
    loses_clips = True

    @classmethod
    def spec_types(cls) -> tuple[type, ...]:
        return tuple(kinds.SpecTypes().values())

    @classmethod
    def kept_as(cls, spec: StoreSpec) -> StoreSpec:
        return kinds.get(spec.kind).kept_as(spec)

    @classmethod
    def unknown(cls, kind: str, key: str) -> str:
        return f"no store '{key}' under this configuration"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        stores = [kinds.get(name) for name in kinds.names()]
        specs = [
            store.for_dataset(dataset, graph.study)
            for store in stores
            for dataset in graph.study.datasets
        ]
        return [graph.of(spec) for spec in specs if spec is not None]

    @cached_property
    def _store(self) -> kinds.StoreKind:
        return kinds.get(self.kind)

    @property
    def kind(self) -> str:
        """The kind of store."""
        return self.spec.kind

    @cached_property
    def key(self) -> str:
        return self.spec.key

    @cached_property
    def rule(self) -> str:
        return self._store.fill_rule(self.spec)

    @property
    def uses_gpu(self) -> bool:
        return self._store.uses_gpu(self.spec)

    @cached_property
    def folder(self) -> Place:
        """The folder of the store."""
        return self.study.config.roots.stores / self.kind / self.key

    @property
    def path(self) -> Place:
        return self.folder / "manifest.json"

    @property
    def receipts(self) -> list[Place]:
        """The receipts of the jobs that fill it."""
        clips = self._store.clips(self.study.dataset(self.spec.dataset))
        jobs = job_count(clips, self._store.clips_per_job(self.spec, self.study))
        return [self.folder / "receipts" / f"{job}.json" for job in range(jobs)]

    @property
    def argument(self) -> Place:
        return self.folder

    @property
    def places(self) -> Sequence[Place]:
        return (self.folder,)

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        index = self.graph.get("clip_index", self.spec.dataset)
        return {"index": [index], **self._store.needs(self.spec, self.graph)}

    @property
    def params(self) -> Mapping[str, Any]:
        card = self.study.dataset(self.spec.dataset).card
        return {
            "spec": self.spec.json_text,
            "clips_per_job": self._store.clips_per_job(self.spec, self.study),
            "max_failures": card.max_failures,
            **self._store.params(self.spec, self.study),
        }

    @property
    def jobs(self) -> Sequence[Job]:
        plan = Job(f"plan_{self.kind}", self.folder / "plan.json")
        seal = Job(f"seal_{self.kind}", self.path)
        return [plan, seal, *(Job(self.rule, receipt) for receipt in self.receipts)]

    @property
    def work(self) -> Work:
        frames = self._store.frames_done(self.spec, self.study.dataset(self.spec.dataset))
        return Work(self._store.stage(self.spec), frames / CLIP_FRAMES)

    @property
    def volume(self) -> Volume:
        frames = self._store.frames_done(self.spec, self.study.dataset(self.spec.dataset))
        size = frames * self._store.frame_bytes(self.spec)
        return Volume(self._store.content(self.spec), size)

    def check(self) -> None:
        self._store.check(self.spec, self.study.checks)
