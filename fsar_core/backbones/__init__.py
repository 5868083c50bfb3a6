"""Backbones: networks that turn images into features, of which a part is run once and cached.

`resnet50`, `mobilenet_v2` and `clip_vit_b16` take published weights. `demo_cnn` and `demo_vit` are
small and trained by the pipeline itself.

To add a backbone, add `backbones/name.py` with a class of the same name (underscores and case
aside) that derives from `fsar_core.components.backbone.Backbone`, passes its stages in order to the
base class, and lists their names in `cuts`. Raise `version` whenever the same weights give other
features. Modules whose names start with an underscore read published weights.
"""
