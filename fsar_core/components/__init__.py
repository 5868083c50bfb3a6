"""What backbones, heads, metrics and mask providers have in common.

`head`, `metric`, `backbone` and `mask_provider` hold the base class of each kind, whose attributes
say what a component needs and can do; `base` holds the class above them. `parameters` describes the
constraints that a signature states, `validation` enforces them, `source` reads a component's class
without importing it, and `registry` finds components by name and builds them. `weights` reads the
files of pretrained networks.

To add a component, add a file to the package of its kind; nothing is registered by hand. To add a
kind, write its base class here and name both in `registry.KINDS` and `registry.BASES`. Only the
base classes and `weights` import torch.
"""
