"""MobileNetV2 without its last 1x1 convolution and classifier: a light ImageNet backbone for machines without a GPU.

Source: Sandler et al., CVPR 2018, as torchvision builds it. Differs: the last 1x1 convolution (320 to 1280 channels) belongs
to the classifier and is left out, because the size of a head grows with the square of its input channels.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from fsar_core.backbones._published import published_file, read_weights
from fsar_core.components.backbone import Backbone
from fsar_core.components.weights import load_strictly


class MobilenetV2(Backbone):
    """Input: RGB, normalised with ImageNet's mean and std. layer5: 320 x 7 x 7 for a 224-pixel crop (stride 32).

    Args:
        weights: a name in `published_weights`, a file with torchvision's keys, or None for random weights.
        weights_root: where a named file is looked for and downloaded to.
        padding: of convolutions with stride 2: `torch` pads both sides by 1; `tensorflow` pads the right and lower side
            only, as weights that were trained with TensorFlow need.
    """

    version = 1
    cuts = ("frames", "layer1", "layer2", "layer3", "layer4", "layer5")
    published_weights = ("IMAGENET1K_V1", "IMAGENET1K_V2")

    @classmethod
    def published_file(cls, weights: str, root: str | Path | None) -> Path:
        from torchvision.models import MobileNet_V2_Weights

        return published_file(MobileNet_V2_Weights, weights, root)

    def __init__(
        self,
        weights: str | Path | None = None,
        weights_root: str | Path | None = None,
        padding: Literal["torch", "tensorflow"] = "torch",
    ) -> None:
        from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

        network = mobilenet_v2(weights=None)
        if weights is not None:
            load_strictly(
                network, read_weights(MobileNet_V2_Weights, weights, weights_root), weights
            )
        if padding == "tensorflow":
            for module in network.features.modules():
                if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                    module.padding = (0, 0)
                    module.register_forward_pre_hook(_pad_right_and_below)
        blocks, ends = list(network.features), (0, 2, 4, 7, 14, 18)
        stages = OrderedDict(
            (cut, nn.Sequential(*blocks[start:end]))
            for cut, start, end in zip(self.cuts[1:], ends, ends[1:])
        )
        super().__init__(stages, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def _pad_right_and_below(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return torch.nn.functional.pad(inputs[0], (0, 1, 0, 1))
