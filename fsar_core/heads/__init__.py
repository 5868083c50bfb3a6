"""Heads: what turns cached features into the features that a metric compares. One file each.

`dmgal`, `i2st` and `sgtm` are the methods of the papers, `ipm` is the instance perception of I2ST
alone. `aim`, `st_adapter` and `dmgal_adapter` run the backbone's last blocks with adapters between
them. `identity` changes nothing.

To add a head, add `heads/name.py` with a class of the same name (underscores and case aside) that
derives from `fsar_core.components.head.Head` and implements `encode`, and `relate` if the clips of
an episode interact. Attributes of the base class say what it needs (`inputs`) and can do. The first
line of the module's docstring appears in `fsar list`; the annotations of the constructor are the
constraints that `fsar check` enforces. The laws in `tests/contract/test_heads.py` then hold for it.
"""
