"""What backbones, heads, metrics and mask providers have in common.

`parameters` describes the constraints that a signature states, `source` reads a component's class
without importing it, `registry` finds components by name and builds them, and `base`, `head`,
`metric`, `backbone` and `mask_provider` hold the base classes. Nothing here imports torch except
the base classes.
"""
