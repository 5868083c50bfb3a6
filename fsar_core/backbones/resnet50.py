"""ResNet-50 without its last two layers, cut after any of its four stages.

Source: He et al., CVPR 2016, as torchvision builds it; DMGAL IV-B ("ResNet-50 pretrained on ImageNet as our feature
extractor, removing the last two layers to retain spatial motion information").
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import nn

from fsar_core.backbones._stages import StagedBackbone, load_strictly, read_state_dict
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.provenance import file_sha256

VERSION = 1
CUTS = ("frames", "layer1", "layer2", "layer3", "layer4")
# Published files that torchvision names; their hash is part of the file name and checked after the download.
WEIGHTS = ("IMAGENET1K_V1", "IMAGENET1K_V2")


class ResNet50(StagedBackbone):
    """Input: RGB, normalised with ImageNet's mean and std. layer4: 2048 x 7 x 7 for a 224-pixel crop.

    Args:
        weights: a name in WEIGHTS, a file with torchvision's keys (with or without `fc`), or None for random weights.
        weights_root: where a named file is looked for and downloaded to.
    """

    def __init__(self, weights: str | Path | None = None, weights_root: str | Path | None = None) -> None:
        from torchvision.models import resnet50

        network = resnet50(weights=None)
        if weights is not None:
            state = (
                _published(str(weights), weights_root) if str(weights) in WEIGHTS else read_state_dict(Path(weights))
            )
            state = {key: value for key, value in state.items() if not key.startswith("fc.")}
            network.fc = nn.Identity()
            load_strictly(network, state, weights)
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        stages = OrderedDict(
            layer1=nn.Sequential(stem, network.layer1),
            layer2=network.layer2,
            layer3=network.layer3,
            layer4=network.layer4,
        )
        super().__init__(stages, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def _published(name: str, root: str | Path | None) -> dict:
    import torch
    from torchvision.models import ResNet50_Weights

    try:
        held = Path(root or torch.hub.get_dir()) / ResNet50_Weights[name].url.split("/")[-1]
        if held.is_file() and not file_sha256(held).startswith(held.stem.split("-")[-1]):
            raise FsarError(
                f"{held}: not the published weights '{name}' (its SHA-256 is not that of its name); remove it"
            )
        return torch.hub.load_state_dict_from_url(
            ResNet50_Weights[name].url,
            model_dir=root,
            check_hash=True,
            weights_only=True,
            progress=False,
            map_location="cpu",
        )
    except KeyError:
        raise FsarError(f"unknown weights '{name}' of resnet50{did_you_mean(name, WEIGHTS)}") from None
    except (OSError, RuntimeError) as error:
        raise FsarError(
            f"weights '{name}' of resnet50 cannot be downloaded ({error}); put the file "
            f"{ResNet50_Weights[name].url.split('/')[-1]} into {root} or name a local file as `weights:` of the preset's backbone"
        ) from None
