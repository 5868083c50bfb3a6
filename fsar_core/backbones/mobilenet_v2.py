"""MobileNetV2 without its last 1x1 convolution and classifier: a light ImageNet backbone for machines without a GPU.

Source: Sandler et al., CVPR 2018, as torchvision builds it. Differs: the last 1x1 convolution (320 to 1280 channels) belongs
to the classifier and is left out, because the size of a head grows with the square of its input channels.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from fsar_core.backbones._published import published_file, read_weights
from fsar_core.backbones._stages import StagedBackbone, load_strictly
from fsar_core.errors import one_of

VERSION = 1
CUTS = ("frames", "layer1", "layer2", "layer3", "layer4", "layer5")
# Published files that torchvision names; their hash is part of the file name and checked after the download.
WEIGHTS = ("IMAGENET1K_V1", "IMAGENET1K_V2")
CHOICES = {"padding": ("torch", "tensorflow")}


class MobilenetV2(StagedBackbone):
    """Input: RGB, normalised with ImageNet's mean and std. layer5: 320 x 7 x 7 for a 224-pixel crop (stride 32).

    Args:
        weights: a name in WEIGHTS, a file with torchvision's keys, or None for random weights.
        weights_root: where a named file is looked for and downloaded to.
        padding: of convolutions with stride 2: `torch` pads both sides by 1; `tensorflow` pads the right and lower side
            only, as weights that were trained with TensorFlow need.
    """

    @classmethod
    def published_file(cls, weights: str, root: str | Path | None) -> Path:
        from torchvision.models import MobileNet_V2_Weights

        return published_file(MobileNet_V2_Weights, weights, root)

    def __init__(
        self,
        weights: str | Path | None = None,
        weights_root: str | Path | None = None,
        padding: str = "torch",
    ) -> None:
        from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

        one_of("mobilenet_v2", "padding", padding, CHOICES["padding"])
        network = mobilenet_v2(weights=None)
        if weights is not None:
            load_strictly(network, read_weights(MobileNet_V2_Weights, weights, weights_root), weights)
        if padding == "tensorflow":
            for module in network.features.modules():
                if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                    module.padding = (0, 0)
                    module.register_forward_pre_hook(_pad_right_and_below)
        blocks, ends = list(network.features), (0, 2, 4, 7, 14, 18)
        stages = OrderedDict(
            (cut, nn.Sequential(*blocks[start:end])) for cut, start, end in zip(CUTS[1:], ends, ends[1:])
        )
        super().__init__(stages, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def _pad_right_and_below(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return torch.nn.functional.pad(inputs[0], (0, 1, 0, 1))
