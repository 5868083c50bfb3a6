"""Laws over every source of instance masks: a new one is tested on arrival."""

from __future__ import annotations

import pytest
from torch import nn

from fsar_core.components import registry
from fsar_core.mask_providers._prompted import PromptedTeacher

each = pytest.mark.parametrize("name", registry.names("instance_masks"))


@each
def test_it_says_what_it_needs_and_gives(name):
    """What planning reads from the source text, without torch."""
    constants = registry.entry("instance_masks", name).constants
    assert isinstance(constants["VERSION"], int)
    assert all(isinstance(constants[key], bool) for key in ("NEEDS_FRAMES", "PROMPTED", "SCORES"))
    assert constants["LOADS"] in (None, "file", "folder")


@each
def test_it_is_built_without_its_files_and_its_parameters_are_checked(name):
    entry = registry.entry("instance_masks", name)
    built = registry.build("instance_masks", name)
    assert isinstance(built, nn.Module) and len(entry.summary) > 20
    for param, valid in entry.constants.get("CHOICES", {}).items():
        assert entry.parameters[param] in valid
    for param, (least, most) in entry.constants.get("RANGES", {}).items():
        default = entry.parameters[param]
        assert default is None or least <= default <= most
    if entry.constants["PROMPTED"]:
        assert isinstance(built, PromptedTeacher) and entry.constants["SCORES"] and entry.constants["NEEDS_FRAMES"]
        assert {"template", "precision", "threshold"} <= set(entry.parameters)
    if entry.constants["LOADS"]:
        assert {"weights", "device", "batch_frames"} <= set(entry.parameters)
