"""Decoding a GPT-Neo or a Llama with little but the arithmetic: a preallocated cache, and few calls
per token. Used by notebooks 04 and 07.

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
from transformers import GPTNeoForCausalLM, LlamaForCausalLM
from transformers.activations import ACT2FN
from transformers.models.gpt_neo import modeling_gpt_neo as gpt_neo
from transformers.models.llama import modeling_llama as llama

from fmcourse.generation.strategies import Session

__all__ = ["FastSession", "begin_fast", "is_plain"]

ACTIVATIONS = [type(ACT2FN[name]) for name in ("gelu_new", "gelu", "relu", "silu")]
PARTS: tuple[Any, ...] = (
    GPTNeoForCausalLM,
    gpt_neo.GPTNeoModel,
    gpt_neo.GPTNeoBlock,
    gpt_neo.GPTNeoAttention,
    gpt_neo.GPTNeoSelfAttention,
    gpt_neo.GPTNeoMLP,
    LlamaForCausalLM,
    llama.LlamaModel,
    llama.LlamaDecoderLayer,
    llama.LlamaAttention,
    llama.LlamaMLP,
    llama.LlamaRMSNorm,
    llama.LlamaRotaryEmbedding,
    nn.ModuleList,
    nn.Embedding,
    nn.LayerNorm,
    nn.Linear,
    nn.Dropout,
    *ACTIVATIONS,
)
# What each part computes as published; a model with anything else goes its own way.
PUBLISHED = {part: part.forward for part in PARTS}
# Weights that are laid out anew are read faster only by narrow models, and only by so many new
# tokens is the copy repaid.
NARROW = 256
COPY_FROM = 24


def is_plain(model: nn.Module) -> bool:
    """Say whether a :class:`FastSession` computes what the model does.

    The model is a GPT-Neo, or a Llama with plain rotary positions and no biases, in fp32 and
    evaluation mode; no module was replaced, hooked or patched; autocast is off.
    """
    kind = SESSIONS.get(type(model))
    if kind is None or torch.is_autocast_enabled(model.device.type):
        return False
    layers = [len(list(block.parameters())) for block in kind.blocks(model)]
    published = set(layers) == {kind.parameters} and model.lm_head.bias is None
    exact = all(number.dtype == torch.float32 for number in model.parameters())
    rotary = getattr(model.config, "rope_parameters", None) or {"rope_type": "default"}
    usual = rotary["rope_type"] == "default" and model.config._attn_implementation in USUAL
    return published and exact and usual and all(map(_untouched, model.modules()))


def _untouched(module: nn.Module) -> bool:
    replaced = PUBLISHED.get(type(module)) is not type(module).forward
    patched = "forward" in vars(module) or "_attn" in vars(module)
    hooked = module._forward_hooks or module._forward_pre_hooks
    return not (replaced or patched or hooked or module.training)


def begin_fast(read: Any) -> FastSession:
    """Go on from what a model that :func:`is_plain` has read: rows of one length, no padding."""
    return SESSIONS[type(read.model)](read)


class FastSession(Session):
    """One decoding in progress: the cache, and the logits of the next token of each row.

    Attributes:
        logits: shape (rows, vocabulary); overwritten by the next step.
        cache_bytes: how much memory keys and values take, in all layers.
    """

    parameters: int  # of one layer as published

    @torch.inference_mode()
    def __init__(self, read: Any) -> None:
        model, cache = read.model, read.cache
        self.new, self.end, self.generator = read.new, read.end, read.generator
        self.logits = logits = read.logits.clone()
        self.length = cache.get_seq_length()
        total = self.length + self.new
        config = model.config
        window = getattr(config, "window_size", total)
        self.slots = {"global": total, "local": min(window, total)}
        self.masks = {}
        for kind, slots in self.slots.items():
            # What is added to the scores: 0 where a slot is filled.
            mask = torch.full((1, 1, slots), torch.finfo(torch.float32).min, device=logits.device)
            mask[..., : self.length] = 0
            self.masks[kind] = mask
        laid_out = config.hidden_size <= NARROW and self.new >= COPY_FROM
        head = model.lm_head.weight.t()
        self.head = head.contiguous() if laid_out else head
        self.layers = [self.weights(block) for block in self.blocks(model)]
        for layer, known in zip(self.layers, cache.layers):
            self._set_aside(layer, torch.stack([known.keys, known.values]))
            if laid_out:
                layer.projections = [torch.cat(layer.projections, dim=1)]
        self.cache_bytes = sum(layer.ring.nbytes for layer in self.layers)
        # One row holds the query of each head, then keys, then values.
        rows, groups, _, width = cache.layers[0].keys.shape
        heads = config.num_attention_heads
        sizes = [heads * width, groups * width, groups * width]
        self.qkv = logits.new_empty(rows, sum(sizes))
        self.parts = [self.qkv] if laid_out else self.qkv.split(sizes, dim=1)
        self.query = self.qkv[:, : sizes[0]]
        self.added = self.qkv[:, sizes[0] :].view(rows, 2, groups, width).transpose(0, 1)
        self.turned = self.qkv[:, : sizes[0] + sizes[1]].view(rows, heads + groups, width)
        self.mixed = logits.new_empty(rows, sizes[0])
        # Llama lets several heads share one key: they are rows of one product.
        self.by_group = (rows * groups, heads // groups, width)
        self.mixed_by_group = self.mixed.view(self.by_group)

    def _set_aside(self, layer: SimpleNamespace, read: torch.Tensor) -> None:
        """Give a layer its ring of keys and values, shape (2, rows, groups, slots, width of a
        head), and fill it.
        """
        slots = self.slots[layer.kind]
        kept = torch.arange(max(0, self.length - slots), self.length, device=read.device)
        layer.ring = read.new_zeros(*read.shape[:3], slots, read.shape[4])
        layer.ring[:, :, :, kept % slots] = read[:, :, :, kept]
        layer.keys = layer.ring[0].flatten(0, 1).transpose(1, 2)
        layer.values = layer.ring[1].flatten(0, 1)

    @staticmethod
    def blocks(model: Any) -> Any:
        """Return the model's layers."""
        raise NotImplementedError

    def weights(self, block: Any) -> SimpleNamespace:
        """Return what a step needs of one layer; matrices are (in, out)."""
        raise NotImplementedError

    def through(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the normed vectors after all layers of one more token of each row."""
        raise NotImplementedError

    def step(self, tokens: torch.Tensor) -> None:
        """Read one more token of each row, shape (rows,), and renew the logits."""
        self.slot = {kind: self.length % slots for kind, slots in self.slots.items()}
        for kind, mask in self.masks.items():
            mask.select(2, self.slot[kind]).zero_()
        torch.mm(self.through(tokens), self.head, out=self.logits)
        self.length += 1

    def project(self, layer: SimpleNamespace, normed: torch.Tensor) -> None:
        """Write query, key and value of each row's new token."""
        for weights, part in zip(layer.projections, self.parts):
            torch.mm(normed, weights, out=part)

    def attend(self, layer: SimpleNamespace) -> torch.Tensor:
        """Keep the new key and value, and return what the heads gather, shape (rows, heads *
        width).
        """
        layer.ring.select(3, self.slot[layer.kind]).copy_(self.added)
        query = self.query.reshape(self.by_group)
        mask = self.masks[layer.kind]
        scores = torch.baddbmm(mask, query, layer.keys, alpha=layer.scaling)
        torch.bmm(torch.softmax(scores, -1), layer.values, out=self.mixed_by_group)
        return self.mixed

    def reorder(self, parents: torch.Tensor) -> None:
        """Let row i go on from what row ``parents[i]`` has read."""
        for layer in self.layers:
            layer.ring.copy_(layer.ring[:, parents])


class GPTNeoSession(FastSession):
    """A GPT-Neo, decoded: learned positions, biases, and no scaling of the scores."""

    parameters = 13

    def __init__(self, read: Any) -> None:
        super().__init__(read)
        body = read.model.transformer
        self.words, self.positions = body.wte.weight, body.wpe.weight
        self.norm = ((read.model.config.hidden_size,), *_normed_by(body.ln_f))

    @staticmethod
    def blocks(model: Any) -> Any:
        return model.transformer.h

    def weights(self, block: Any) -> SimpleNamespace:
        attention, mlp = block.attn.attention, block.mlp
        activation = mlp.act
        if type(activation) is ACTIVATIONS[0]:
            # The same function in one kernel.
            activation = functools.partial(nn.functional.gelu, approximate="tanh")
        return SimpleNamespace(
            kind=attention.attention_type,
            scaling=1.0,
            norm=_normed_by(block.ln_1),
            projections=_transposed(attention.q_proj, attention.k_proj, attention.v_proj),
            out=attention.out_proj.weight.t(),
            out_bias=attention.out_proj.bias,
            norm_2=_normed_by(block.ln_2),
            up=mlp.c_fc.weight.t(),
            up_bias=mlp.c_fc.bias,
            down=mlp.c_proj.weight.t(),
            down_bias=mlp.c_proj.bias,
            activation=activation,
        )

    def through(self, tokens: torch.Tensor) -> torch.Tensor:
        shape = self.norm[0]
        hidden = torch.embedding(self.words, tokens).add_(self.positions[self.length])
        for layer in self.layers:
            self.project(layer, layer_norm(hidden, shape, *layer.norm))
            hidden.add_(layer.out_bias).addmm_(self.attend(layer), layer.out)
            normed = layer_norm(hidden, shape, *layer.norm_2)
            inner = layer.activation(torch.addmm(layer.up_bias, normed, layer.up))
            hidden.add_(layer.down_bias).addmm_(inner, layer.down)
        return layer_norm(hidden, *self.norm)


class LlamaSession(FastSession):
    """A Llama, decoded: rotary positions, root-mean-square norms, and a gate in each layer."""

    parameters = 9

    @torch.inference_mode()
    def __init__(self, read: Any) -> None:
        super().__init__(read)
        body = read.model.model
        self.words, self.norm = body.embed_tokens.weight, body.norm
        places = torch.arange(self.slots["global"], device=self.logits.device)
        cosines, sines = body.rotary_emb(self.logits, places[None])
        self.half = cosines.shape[-1] // 2
        sines[..., : self.half] *= -1
        self.cosines, self.sines = cosines[0], sines[0]

    @staticmethod
    def blocks(model: Any) -> Any:
        return model.model.layers

    def weights(self, block: Any) -> SimpleNamespace:
        attention, mlp = block.self_attn, block.mlp
        gate, up, down = _transposed(mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        return SimpleNamespace(
            kind="global",
            scaling=attention.scaling,
            norm=block.input_layernorm,
            projections=_transposed(attention.q_proj, attention.k_proj, attention.v_proj),
            out=attention.o_proj.weight.t(),
            norm_2=block.post_attention_layernorm,
            gate=gate,
            up=up,
            down=down,
            activation=mlp.act_fn,
        )

    def through(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = torch.embedding(self.words, tokens)
        cosine, sine = self.cosines[self.length], self.sines[self.length]
        for layer in self.layers:
            self.project(layer, _rms(hidden, layer.norm))
            # Each pair of numbers is turned by the angle of its position.
            crossed = self.turned.roll(self.half, -1).mul_(sine)
            self.turned.mul_(cosine).add_(crossed)
            hidden.addmm_(self.attend(layer), layer.out)
            normed = _rms(hidden, layer.norm_2)
            inner = layer.activation(torch.mm(normed, layer.gate))
            hidden.addmm_(inner.mul_(torch.mm(normed, layer.up)), layer.down)
        return _rms(hidden, self.norm)


def _transposed(*linear: nn.Linear) -> list[torch.Tensor]:
    return [one.weight.t() for one in linear]


def _normed_by(norm: nn.LayerNorm) -> tuple[Any, Any, float]:
    return norm.weight, norm.bias, norm.eps


def _rms(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    # As the model does it; torch's own function takes several times as long on a CPU.
    variance = hidden.square().mean(-1, keepdim=True)
    return (hidden * torch.rsqrt(variance.add_(norm.variance_epsilon))).mul_(norm.weight)


SESSIONS: dict[type, type[FastSession]] = {
    GPTNeoForCausalLM: GPTNeoSession,
    LlamaForCausalLM: LlamaSession,
}
USUAL = ("eager", "sdpa")
