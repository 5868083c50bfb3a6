"""ResNet-50 without its last two layers, cut after any of its four stages.

Source: He et al., CVPR 2016, as torchvision builds it; DMGAL IV-B ("ResNet-50 pretrained on ImageNet as our feature
extractor, removing the last two layers to retain spatial motion information").
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import nn

from fsar_core.backbones._published import published_file, read_weights
from fsar_core.components.backbone import Backbone
from fsar_core.components.weights import load_strictly


class ResNet50(Backbone):
    """Input: RGB, normalised with ImageNet's mean and std. layer4: 2048 x 7 x 7 for a 224-pixel crop.

    BatchNorm follows Backbone's rule: running statistics wherever the network is frozen, batch statistics (and updates of
    the running ones) in the stages that are trained with the head, of all frames of one forward pass of support or queries.

    Args:
        weights: a name in `published_weights`, a file with torchvision's keys (with or without `fc`), or None for random weights.
        weights_root: where a named file is looked for and downloaded to.
    """

    version = 1
    cuts = ("frames", "layer1", "layer2", "layer3", "layer4")
    published_weights = ("IMAGENET1K_V1", "IMAGENET1K_V2")

    @classmethod
    def published_file(cls, weights: str, root: str | Path | None) -> Path:
        from torchvision.models import ResNet50_Weights

        return published_file(ResNet50_Weights, weights, root)

    def __init__(
        self, weights: str | Path | None = None, weights_root: str | Path | None = None
    ) -> None:
        from torchvision.models import ResNet50_Weights, resnet50

        network = resnet50(weights=None)
        network.fc = nn.Identity()
        if weights is not None:
            state = read_weights(ResNet50_Weights, weights, weights_root)
            load_strictly(
                network,
                {key: value for key, value in state.items() if not key.startswith("fc.")},
                weights,
            )
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        stages = OrderedDict(
            layer1=nn.Sequential(stem, network.layer1),
            layer2=network.layer2,
            layer3=network.layer3,
            layer4=network.layer4,
        )
        super().__init__(stages, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
