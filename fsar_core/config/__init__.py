"""Models of config.yaml and of data set cards. Every key is checked before any job, without torch.

A mistake is one `FsarError` line that names the file, the key, what was expected and the nearest
valid key. Import names from this package:

- `base`: `Model`, the base of all models that are read from YAML, and `SPLITS`.
- `configuration`: `Config` (config.yaml) with `Roots`, and `load_config`.
- `preset`: `Preset`, with `Setup`, `Episodes` and `Resources`.
- `stores`: what is made once: `DemoVideos`, `Frames`, `Backbone`, `BackboneTraining`, `Masks`,
  `Saliency`.
- `card`: `Card` (card.yaml), with `SplitSource` and `Files`.
- `training`: the keys of a training that setups, heads and cards may change.
- `paths`: which relative paths may be named: `relative`, `without_braces`.
- `reading`: `read_yaml`, safe for files of others.
- `overlays`: configurations laid over each other, presets that extend presets.
- `validation`: `validate` and `load`, which make models and word their errors.
"""

from fsar_core.config.base import SPLITS, Model
from fsar_core.config.card import Card, Files, SplitSource
from fsar_core.config.configuration import Config, Roots, load_config
from fsar_core.config.overlays import overlay, read_merged
from fsar_core.config.paths import CONTROL, relative, without_braces
from fsar_core.config.preset import FEWEST_TEST_EPISODES, Episodes, Preset, Resources, Setup
from fsar_core.config.reading import UNFOLDED, read_yaml
from fsar_core.config.stores import (
    Backbone,
    BackboneTraining,
    DemoVideos,
    Frames,
    Masks,
    Saliency,
)
from fsar_core.config.training import Hyperparameters, check_training_keys
from fsar_core.config.validation import load, validate

__all__ = [
    "CONTROL",
    "FEWEST_TEST_EPISODES",
    "SPLITS",
    "UNFOLDED",
    "Backbone",
    "BackboneTraining",
    "Card",
    "Config",
    "DemoVideos",
    "Episodes",
    "Files",
    "Frames",
    "Hyperparameters",
    "Masks",
    "Model",
    "Preset",
    "Resources",
    "Roots",
    "Saliency",
    "Setup",
    "SplitSource",
    "check_training_keys",
    "load",
    "load_config",
    "overlay",
    "read_merged",
    "read_yaml",
    "relative",
    "validate",
    "without_braces",
]
