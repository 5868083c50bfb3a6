"""Mask providers: where the instance masks of training clips come from.

Configurations call this kind of component `instance_masks`. `annotated` reads masks that come with
a data set. `seem` and `clipseg` are networks that look at the frames, prompted by the class name;
`_prompted.py` holds what the two share.

To add a provider, add `mask_providers/name.py` (or a package) with a class of the same name
(underscores and case aside) that derives from `fsar_core.components.mask_provider.MaskProvider` and
implements `forward`. Raise `version` whenever the same clips give other masks.
"""
