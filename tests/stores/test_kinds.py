"""Kinds of stores are known by their modules; what a job cannot do without is named by its option."""

from pathlib import Path

import pytest

from fsar_core.errors import FsarError
from fsar_core.stores import jobs, kinds
from fsar_core.stores.kinds import FillOptions
from tests.builders import toy_frame_spec


def test_every_module_is_a_kind_with_a_spec_of_its_name():
    assert kinds.names() == ("features", "frames", "masks", "saliency")
    for name, spec_type in kinds.SpecTypes().items():
        assert kinds.get(name).name == name
        assert spec_type.model_fields["kind"].default == name
    with pytest.raises(FsarError, match="unknown kind of store 'mask'; did you mean 'masks'"):
        kinds.get("mask")


def test_an_option_is_given_by_its_own_name_or_as_an_input():
    options = FillOptions(frames=Path("f"), inputs={"depth": Path("d")})
    assert options.given("frames") == Path("f") and options.given("depth") == Path("d")
    assert options.given("features") is None and options.given("flow") is None
    assert FillOptions.option("weights_root") == "--weights-root"
    assert FillOptions.option("depth") == "--input depth=PATH"


def test_a_missing_input_is_named_by_its_option(monkeypatch, tmp_path):
    frames = kinds.get("frames")
    monkeypatch.setattr(type(frames), "requires", {"depth": "a depth store"})
    words = (toy_frame_spec(), tmp_path, tmp_path / "index.tsv", 0, tmp_path / "0.json")
    expected = r"--input depth=PATH: missing; a frame store needs a depth store"
    with pytest.raises(FsarError, match=expected):
        jobs.fill(*words, FillOptions())
