"""Decoding a GPT-Neo or a Llama with little but the arithmetic: a preallocated cache, and few calls
per token. Used by notebooks 04 and 07.

Most of what ``model.generate`` does per token on a small model is bookkeeping. A
:class:`FastSession` looks up the model's own weights when it begins, so that it never meets stale
ones, and writes each product into memory that was set aside. Global layers keep every key and
value. Local ones keep the last `window_size` of them in a ring, because attention does not ask in
which order keys lie.
"""

import functools
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, layer_norm, nn
from transformers import GPTNeoForCausalLM, LlamaForCausalLM
from transformers.activations import ACT2FN
from transformers.models.gpt_neo import modeling_gpt_neo as gpt_neo
from transformers.models.llama import modeling_llama as llama

from fmcourse.generation.strategies import Session

__all__ = ["SESSIONS", "FastSession", "is_plain"]

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
# Weights that are laid out anew are read faster on many processors. So many new tokens repay the
# copy, and a model with more weights would fill the memory.
COPY_FROM = 24
COPY_AT_MOST = 2**28


def is_plain(model) -> bool:
    """Say whether a :class:`FastSession` computes what the model does.

    The model is a GPT-Neo, or a Llama with plain rotary positions and no biases, in fp32 and
    evaluation mode; no module was replaced, hooked or patched; autocast is off.
    """
    kind = SESSIONS.get(type(model))
    if kind is None or torch.is_autocast_enabled(model.device.type):
        return False
    blocks = kind.blocks(model)
    for block in blocks:
        named = [name for name, _ in block.named_parameters()]
        alike = list(map(type, block.modules())) == list(map(type, blocks[0].modules()))
        if named != kind.names or not alike:
            return False
    exact = all(number.dtype == torch.float32 for number in model.parameters())
    usual = kind.usual(model.config) and model.lm_head.bias is None
    return exact and usual and all(map(_untouched, model.modules()))


def _untouched(module: nn.Module) -> bool:
    replaced = PUBLISHED.get(type(module)) is not type(module).forward
    patched = "forward" in vars(module) or "_attn" in vars(module)
    hooked = module._forward_hooks or module._forward_pre_hooks
    return not (replaced or patched or hooked or module.training)


class FastSession(Session):
    """One decoding in progress: the cache, and the logits of the next token of each row.

    Attributes:
        logits: shape (rows, vocabulary); overwritten by the next step.
        layers: of each its kind, its weights, and its ring of keys and values, shape (2, rows,
            groups, slots, width of a head).
    """

    names: list[str]  # of a layer's parameters as published
    scaled: bool  # whether scores are divided by the root of a head's width

    @torch.inference_mode()
    def __init__(self, read) -> None:
        """Go on from what a model that :func:`is_plain` has read: rows of one length, no
        padding.
        """
        model, cache, config = read.model, read.cache, read.model.config
        self.new, self.end, self.generator = read.new, read.end, read.generator
        self.logits = read.logits.clone()
        self.length = cache.get_seq_length()
        self.total = self.length + self.new
        window = getattr(config, "window_size", self.total)
        self.slots = {"global": self.total, "local": min(window, self.total)}
        # What is added to the scores: 0 where a slot is filled.
        empty = torch.finfo(torch.float32).min
        self.masks = {k: self.logits.new_full((1, 1, n), empty) for k, n in self.slots.items()}
        for mask in self.masks.values():
            mask[..., : self.length] = 0
        # One row holds the query of each head, then keys, then values.
        rows, groups, _, width = cache.layers[0].keys.shape
        heads = config.num_attention_heads
        sizes = [heads * width, groups * width, groups * width]
        self.qkv = self.logits.new_empty(rows, sum(sizes))
        self.query, _, _ = self.parts = self.qkv.split(sizes, dim=1)
        self.added = self.qkv[:, sizes[0] :].view(rows, 2, groups, width).transpose(0, 1)
        self.turned = self.qkv[:, : -sizes[2]].view(rows, heads + groups, width)
        # Llama lets several heads share one key: they are rows of one product.
        self.by_group = (rows * groups, heads // groups, width)
        self.mixed = self.logits.new_empty(rows, sizes[0])
        self.mixed_by_group = self.mixed.view(self.by_group)
        self.scaling = width**-0.5 if self.scaled else 1.0
        self.head = model.lm_head.weight.t()
        kinds = getattr(config, "attention_layers", ["global"] * len(cache.layers))
        self.layers = [
            self._layer(kind, block, torch.stack([known.keys, known.values]))
            for kind, block, known in zip(kinds, self.blocks(model), cache.layers)
        ]
        if self.new >= COPY_FROM and model.num_parameters() <= COPY_AT_MOST:
            self.head, self.parts = self.head.contiguous(), (self.qkv,)
            for layer in self.layers:
                layer.qkv = [torch.cat(layer.qkv, dim=1)]
                layer.rest = [weights.contiguous() for weights in layer.rest]

    def _layer(self, kind: str, block, read: Tensor) -> SimpleNamespace:
        """Look up a layer's weights, matrices as (in, out), and fill its ring with what was read,
        shape (2, rows, groups, length, width of a head).
        """
        slots = self.slots[kind]
        kept = torch.arange(max(0, self.length - slots), self.length, device=read.device)
        ring = read.new_zeros(*read.shape[:3], slots, read.shape[4])
        ring[:, :, :, kept % slots] = read[:, :, :, kept]
        keys, values = ring.flatten(1, 2)
        weights = {name: number.t() for name, number in block.named_parameters()}
        qkv = [weights.pop(name) for part in "qkv" for name in self.names if f"{part}_proj" in name]
        return SimpleNamespace(
            kind=kind,
            ring=ring,
            keys=keys.transpose(1, 2),
            values=values,
            qkv=qkv,
            rest=list(weights.values()),
        )

    @staticmethod
    def blocks(model: Any) -> Any:
        """Return the model's layers."""
        raise NotImplementedError

    @staticmethod
    def usual(config) -> bool:
        """Say whether nothing in the configuration asks for what a session does not do."""
        return True

    def through(self, tokens: Tensor) -> Tensor:
        """Return the normed vectors after all layers of one more token of each row."""
        raise NotImplementedError

    def step(self, tokens: Tensor) -> None:
        """Read one more token of each row, shape (rows,), and renew the logits."""
        self.slot = {kind: self.length % slots for kind, slots in self.slots.items()}
        for kind, mask in self.masks.items():
            mask.select(2, self.slot[kind]).zero_()
        torch.mm(self.through(tokens), self.head, out=self.logits)
        self.length += 1

    def attend(self, layer: SimpleNamespace) -> Tensor:
        """Keep the new key and value, and return what the heads gather, shape (rows, heads *
        width).
        """
        layer.ring.select(3, self.slot[layer.kind]).copy_(self.added)
        query, mask = self.query.reshape(self.by_group), self.masks[layer.kind]
        scores = torch.baddbmm(mask, query, layer.keys, alpha=self.scaling)
        torch.bmm(torch.softmax(scores, -1), layer.values, out=self.mixed_by_group)
        return self.mixed

    def project(self, layer: SimpleNamespace, normed: Tensor) -> None:
        """Write query, key and value of each row's new token."""
        for weights, part in zip(layer.qkv, self.parts):
            torch.mm(normed, weights, out=part)

    def reorder(self, parents: Tensor) -> None:
        """Let row i go on from what row ``parents[i]`` has read."""
        for layer in self.layers:
            layer.ring.copy_(layer.ring[:, parents])


class GPTNeoSession(FastSession):
    """A GPT-Neo, decoded: learned positions, biases, and no scaling of the scores."""

    scaled = False
    names = """ln_1.weight ln_1.bias attn.attention.k_proj.weight attn.attention.v_proj.weight
        attn.attention.q_proj.weight attn.attention.out_proj.weight attn.attention.out_proj.bias
        ln_2.weight ln_2.bias mlp.c_fc.weight mlp.c_fc.bias mlp.c_proj.weight
        mlp.c_proj.bias""".split()

    def __init__(self, read) -> None:
        super().__init__(read)
        body = read.model.transformer
        self.words, self.positions = body.wte.weight, body.wpe.weight
        self.last = (body.ln_f.weight, body.ln_f.bias)
        self.shape, self.eps = body.ln_f.normalized_shape, body.ln_f.eps
        self.activation = body.h[0].mlp.act
        if type(self.activation) is ACTIVATIONS[0]:
            # The same function in one kernel.
            self.activation = functools.partial(nn.functional.gelu, approximate="tanh")

    @staticmethod
    def blocks(model: Any) -> Any:
        return model.transformer.h

    def through(self, tokens: Tensor) -> Tensor:
        shape, eps = self.shape, self.eps
        hidden = torch.embedding(self.words, tokens).add_(self.positions[self.length])
        for layer in self.layers:
            gain, bias, out, out_bias, gain_2, bias_2, up, up_bias, down, down_bias = layer.rest
            self.project(layer, layer_norm(hidden, shape, gain, bias, eps))
            hidden.add_(out_bias).addmm_(self.attend(layer), out)
            normed = layer_norm(hidden, shape, gain_2, bias_2, eps)
            inner = self.activation(torch.addmm(up_bias, normed, up))
            hidden.add_(down_bias).addmm_(inner, down)
        return layer_norm(hidden, shape, *self.last, eps)


class LlamaSession(FastSession):
    """A Llama, decoded: rotary positions, root-mean-square norms, and a gate in each layer."""

    scaled = True
    names = """self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight
        self_attn.o_proj.weight mlp.gate_proj.weight mlp.up_proj.weight mlp.down_proj.weight
        input_layernorm.weight post_attention_layernorm.weight""".split()

    @torch.inference_mode()
    def __init__(self, read) -> None:
        super().__init__(read)
        body = read.model.model
        self.words, self.last, self.eps = (
            body.embed_tokens.weight,
            body.norm.weight,
            body.norm.variance_epsilon,
        )
        self.activation = body.layers[0].mlp.act_fn
        places = torch.arange(self.total, device=self.logits.device)
        self.cosines, self.sines = (
            table[0] for table in body.rotary_emb(self.logits, places[None])
        )
        self.half = self.sines.shape[1] // 2
        self.sines[:, : self.half] *= -1

    @staticmethod
    def blocks(model: Any) -> Any:
        return model.model.layers

    @staticmethod
    def usual(config) -> bool:
        known = config._attn_implementation in ("eager", "sdpa")
        return known and config.rope_parameters["rope_type"] == "default"

    def through(self, tokens: Tensor) -> Tensor:
        hidden = torch.embedding(self.words, tokens)
        cosine, sine = self.cosines[self.length], self.sines[self.length]
        for layer in self.layers:
            out, gate, up, down, gain, gain_2 = layer.rest
            self.project(layer, self.norm(hidden, gain))
            # Each pair of numbers is turned by the angle of its position.
            crossed = self.turned.roll(self.half, -1).mul_(sine)
            self.turned.mul_(cosine).add_(crossed)
            hidden.addmm_(self.attend(layer), out)
            normed = self.norm(hidden, gain_2)
            inner = self.activation(torch.mm(normed, gate))
            hidden.addmm_(inner.mul_(torch.mm(normed, up)), down)
        return self.norm(hidden, self.last)

    def norm(self, hidden: Tensor, gain: Tensor) -> Tensor:
        # As the model does it; torch's own function takes several times as long on a CPU.
        variance = hidden.square().mean(-1, keepdim=True)
        return (hidden * torch.rsqrt(variance.add_(self.eps))).mul_(gain)


SESSIONS = {
    GPTNeoForCausalLM: GPTNeoSession,
    LlamaForCausalLM: LlamaSession,
}
