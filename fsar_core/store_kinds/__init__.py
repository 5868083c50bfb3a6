"""Kinds of stores, one module each: frames, features, masks, saliency.

A module `store_kinds/name.py` defines one class derived from `fsar_core.stores.kinds.StoreKind` and
is known by being there. It says what a store needs, which arrays it has, how a job fills its rows,
and how much work that is. Its spec has a field `kind` with the name of the module as only value.

To add a kind, add that module and a rule file `workflow/rules/name.smk` with the rules `plan_name`,
`fill_name` and `seal_name`; saliency is the shortest example. Planning, checks, costs, verifying
and repairing follow from the class. An input (`fsar_core.inputs`) gives a store to heads; it makes
the spec with `kinds.get("name").spec_type`.
"""
