"""Laws over every source of instance masks: a new one is tested on arrival."""

from __future__ import annotations

import pytest

from fsar_core.components import registry
from fsar_core.components.mask_provider import MaskProvider
from fsar_core.mask_providers._prompted import PromptedTeacher

each = pytest.mark.parametrize("name", registry.names("instance_masks"))


@each
def test_it_says_what_it_needs_and_gives(name):
    """What planning reads from the source text, without torch."""
    attributes = registry.entry("instance_masks", name).attributes
    assert isinstance(attributes["version"], int)
    assert all(
        isinstance(attributes[key], bool) for key in ("needs_frames", "prompted", "has_scores")
    )
    assert attributes["loads"] in (None, "file", "folder")


@each
def test_it_is_built_without_its_files_and_its_parameters_are_checked(name):
    entry = registry.entry("instance_masks", name)
    built = registry.build("instance_masks", name)
    assert isinstance(built, MaskProvider) and len(entry.summary) > 20
    for parameter in entry.parameters.values():
        parameter.check(name, parameter.default)
    for name, value in entry.attributes.items():
        assert getattr(built, name) == value
    if entry.attributes["prompted"]:
        assert isinstance(built, PromptedTeacher)
        assert entry.attributes["has_scores"] and entry.attributes["needs_frames"]
        assert {"template", "precision", "threshold"} <= set(entry.parameters)
    if entry.attributes["loads"]:
        assert {"weights", "device", "batch_frames"} <= set(entry.parameters)
