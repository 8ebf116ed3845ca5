"""Decoding a small GPT-Neo with little but the arithmetic: a preallocated cache, and few calls per
token. Used by notebook 04.

Most of what ``model.generate`` does per token on a small model is bookkeeping. A
:class:`FastSession` looks up the model's own weights when it begins, so that it never meets stale
ones, and writes each product into memory that was set aside. Global layers keep every key and
value. Local ones keep the last `window_size` of them in a ring, because attention does not ask in
which order keys lie.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import torch
from torch import layer_norm, nn
from transformers import GPTNeoForCausalLM
from transformers.activations import ACT2FN
from transformers.models.gpt_neo import modeling_gpt_neo as gpt_neo

from fmcourse.arguments import require
from fmcourse.generation.strategies import Session

__all__ = ["Decoder", "FastSession", "is_plain"]

ACTIVATIONS = [type(ACT2FN[name]) for name in ("gelu_new", "gelu", "relu")]
PARTS: tuple[Any, ...] = (
    GPTNeoForCausalLM,
    gpt_neo.GPTNeoModel,
    gpt_neo.GPTNeoBlock,
    gpt_neo.GPTNeoAttention,
    gpt_neo.GPTNeoSelfAttention,
    gpt_neo.GPTNeoMLP,
    nn.ModuleList,
    nn.Embedding,
    nn.LayerNorm,
    nn.Linear,
    nn.Dropout,
    *ACTIVATIONS,
)
# What each part computes as published; a model with anything else goes its own way.
PUBLISHED = {part: part.forward for part in PARTS}
BLOCK_PARAMETERS = 13  # of one layer as published
# From so many new tokens on it pays to lay out the output weights so that one row reads them in
# order.
COPY_FROM = 24


def is_plain(model: nn.Module) -> bool:
    """Say whether a :class:`FastSession` computes what the model does.

    The model is a GPT-Neo in fp32 and evaluation mode; no module was replaced, hooked or patched;
    autocast is off.
    """
    if type(model) is not GPTNeoForCausalLM or torch.is_autocast_enabled(model.device.type):
        return False
    layers = [len(list(block.parameters())) for block in model.transformer.h]
    published = set(layers) == {BLOCK_PARAMETERS} and model.lm_head.bias is None
    exact = all(number.dtype == torch.float32 for number in model.parameters())
    return published and exact and all(_untouched(module) for module in model.modules())


def _untouched(module: nn.Module) -> bool:
    replaced = PUBLISHED.get(type(module)) is not type(module).forward
    patched = "forward" in vars(module) or "_attn" in vars(module)
    hooked = module._forward_hooks or module._forward_pre_hooks
    return not (replaced or patched or hooked or module.training)


class Decoder:
    """A GPT-Neo that can be decoded the fast way; :func:`generate` takes it in place of the model.

    :func:`generate` decodes such a model fast by itself. A decoder holds no weights of its own, so
    that it follows its model.

    Args:
        model: a GPT-Neo in fp32 and evaluation mode, on any device.

    Raises:
        ValueError: a different architecture or precision, training mode, or a model with hooks or
            patches.
    """

    def __init__(self, model: Any) -> None:
        expected = "a GPT-Neo in torch.float32 and evaluation mode, without hooks or patches"
        got = f"{type(model).__name__} in {getattr(model, 'dtype', 'no precision')}"
        require(is_plain(model), "model", expected, got)
        self.model = model
        self.config = model.config

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device


def _weights(block: Any) -> SimpleNamespace:
    """Return what a step needs of one layer; matrices are (in, out)."""
    attention, mlp = block.attn.attention, block.mlp
    projections = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    activation = mlp.act
    if type(activation) is ACTIVATIONS[0]:
        # The same function in one kernel.
        activation = functools.partial(nn.functional.gelu, approximate="tanh")
    return SimpleNamespace(
        kind=attention.attention_type,
        norm=(block.ln_1.weight, block.ln_1.bias, block.ln_1.eps),
        qkv=torch.cat(projections).t(),
        out=attention.out_proj.weight.t(),
        out_bias=attention.out_proj.bias,
        norm_2=(block.ln_2.weight, block.ln_2.bias, block.ln_2.eps),
        up=mlp.c_fc.weight.t(),
        up_bias=mlp.c_fc.bias,
        down=mlp.c_proj.weight.t(),
        down_bias=mlp.c_proj.bias,
        activation=activation,
    )


class FastSession(Session):
    """One decoding in progress: the cache, and the logits of the next token of each row.

    Attributes:
        logits: shape (rows, vocabulary); overwritten by the next step.
        cache_bytes: how much memory keys and values take, in all layers.
    """

    def __init__(self, read: Any) -> None:
        """Go on from what a model that :func:`is_plain` has read.

        Rows of one length, without padding.
        """
        model, cache = read.model, read.cache
        self.new, self.end, self.generator = read.new, read.end, read.generator
        self.logits = logits = read.logits.clone()
        config, body = model.config, model.transformer
        self.words, self.positions = body.wte.weight, body.wpe.weight
        self.norm = (body.ln_f.weight, body.ln_f.bias, body.ln_f.eps)
        self.shape = (config.hidden_size,)
        self.head = model.lm_head.weight.t()
        if self.new >= COPY_FROM:
            self.head = self.head.contiguous()
        self.length = cache.get_seq_length()
        total = self.length + self.new
        self.slots = {"global": total, "local": min(config.window_size, total)}
        self.masks = {}
        for kind, slots in self.slots.items():
            # What is added to the scores: 0 where a slot is filled.
            mask = torch.full((1, 1, slots), torch.finfo(torch.float32).min, device=logits.device)
            mask[..., : self.length] = 0
            self.masks[kind] = mask
        self.layers = [_weights(block) for block in body.h]
        for layer, known in zip(self.layers, cache.layers):
            self._set_aside(layer, torch.stack([known.keys, known.values]))
        self.cache_bytes = sum(layer.ring.nbytes for layer in self.layers)
        rows, heads = len(logits), config.num_heads
        self.qkv = logits.new_empty(rows, 3 * config.hidden_size)
        by_head = self.qkv.view(rows, 3, heads, -1)
        self.query, self.added = by_head[:, 0], by_head[:, 1:].transpose(0, 1)
        self.mixed = logits.new_empty(rows, config.hidden_size)
        self.mixed_by_head = self.mixed.view(rows * heads, 1, -1)

    def _set_aside(self, layer: SimpleNamespace, read: torch.Tensor) -> None:
        """Give a layer its ring of keys and values, shape (2, rows, heads, slots, width of a head),
        and fill it.
        """
        slots = self.slots[layer.kind]
        kept = torch.arange(max(0, self.length - slots), self.length, device=read.device)
        layer.ring = read.new_zeros(*read.shape[:3], slots, read.shape[4])
        layer.ring[:, :, :, kept % slots] = read[:, :, :, kept]
        layer.keys = layer.ring[0].flatten(0, 1).transpose(1, 2)
        layer.values = layer.ring[1].flatten(0, 1)

    def step(self, tokens: torch.Tensor) -> None:
        shape = self.shape
        hidden = torch.embedding(self.words, tokens).add_(self.positions[self.length])
        slot = {kind: self.length % slots for kind, slots in self.slots.items()}
        for kind, mask in self.masks.items():
            mask.select(2, slot[kind]).zero_()
        for layer in self.layers:
            normed = layer_norm(hidden, shape, *layer.norm)
            torch.mm(normed, layer.qkv, out=self.qkv)
            layer.ring.select(3, slot[layer.kind]).copy_(self.added)
            query = self.query.reshape(-1, 1, self.query.shape[2])
            scores = torch.baddbmm(self.masks[layer.kind], query, layer.keys)
            torch.bmm(torch.softmax(scores, -1), layer.values, out=self.mixed_by_head)
            hidden.add_(layer.out_bias).addmm_(self.mixed, layer.out)
            normed = layer_norm(hidden, shape, *layer.norm_2)
            inner = layer.activation(torch.addmm(layer.up_bias, normed, layer.up))
            hidden.add_(layer.down_bias).addmm_(inner, layer.down)
        self.length += 1
        normed = layer_norm(hidden, shape, *self.norm)
        torch.mm(normed, self.head, out=self.logits)

    def reorder(self, parents: torch.Tensor) -> None:
        for layer in self.layers:
            layer.ring.copy_(layer.ring[:, parents])
