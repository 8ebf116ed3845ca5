"""How fast can a small GPT-Neo decode? Fused projections, one preallocated cache, and no work but the arithmetic.

Serves notebook 04. Most of what ``model.generate`` does per token on a small model is bookkeeping. A :class:`Decoder` holds
the model's weights laid out for decoding: queries, keys and values from one product; the bias behind the activation as one
more hidden unit. A :class:`Session` writes each product into memory that was set aside at the start. Global layers keep
every key and value, local ones the last `window_size` of them, in a ring: attention does not ask in which order keys lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse.arguments import require

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from transformers import GPTNeoForCausalLM

__all__ = ["Decoder", "Session"]

UNIT = 8.0  # what goes into the hidden unit that stands for a bias; so large that an activation lets it pass unchanged


@dataclass(frozen=True)
class _Layer:
    """One layer's weights; matrices are (in, out), those that widen stored so: a row times them then reads memory in order."""

    local: bool
    norm: tuple[torch.Tensor, torch.Tensor]
    qkv: torch.Tensor
    out: torch.Tensor
    out_bias: torch.Tensor
    norm_2: tuple[torch.Tensor, torch.Tensor]
    up: torch.Tensor
    up_bias: torch.Tensor
    down: torch.Tensor


class Decoder:
    """A GPT-Neo's weights as decoding wants them; :func:`generate` takes it in place of the model.

    It holds copies: train the model further, and you need a new one.

    Args:
        model: a GPT-Neo in fp32, on any device.

    Raises:
        ValueError: another architecture, or another precision.
    """

    def __init__(self, model: GPTNeoForCausalLM) -> None:
        import torch

        require(model.config.model_type == "gpt_neo", "model", "a GPT-Neo", model.config.model_type)
        require(model.dtype == torch.float32, "model", "weights in torch.float32", model.dtype)
        self.config, self.device = model.config, model.device
        self.activation = _activation(model)
        body = model.transformer
        with torch.no_grad():
            self.layers = [
                _layer(block, kind, self.activation)
                for block, kind in zip(body.h, self.config.attention_layers)
            ]
        self.words, self.places = body.wte.weight.detach(), body.wpe.weight.detach()
        self.norm = (body.ln_f.weight.detach(), body.ln_f.bias.detach())
        self.head = model.lm_head.weight.detach().t().contiguous()

    def begin(
        self, prompts: torch.Tensor, lengths: list[int] | None, rows: int, new: int
    ) -> Session:
        """Read prompts once and return a session with room for `new` more tokens.

        Args:
            prompts: token ids, shape (prompts, length); shorter ones are padded on the left with any ids.
            lengths: how many tokens of each are real; None means all.
            rows: how many continuations of each prompt; they share the pass over it.
            new: how many tokens will be added at most, at least 1.
        """
        return Session(self, prompts, lengths, rows, new)


def _activation(model: GPTNeoForCausalLM) -> Callable:
    import functools

    import torch

    if model.config.activation_function == "gelu_new":
        return functools.partial(
            torch.nn.functional.gelu, approximate="tanh"
        )  # the same function in one kernel
    return model.transformer.h[0].mlp.act


def _layer(block: torch.nn.Module, kind: str, activation: Callable) -> _Layer:
    import torch

    attention, mlp = block.attn.attention, block.mlp
    projections = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    through = activation(torch.tensor([UNIT], device=mlp.c_proj.bias.device))
    return _Layer(
        local=kind == "local",
        norm=(block.ln_1.weight.detach(), block.ln_1.bias.detach()),
        qkv=torch.cat(projections).t().contiguous(),
        out=attention.out_proj.weight.detach().t(),
        out_bias=attention.out_proj.bias.detach(),
        norm_2=(block.ln_2.weight.detach(), block.ln_2.bias.detach()),
        up=torch.cat([mlp.c_fc.weight, torch.zeros_like(mlp.c_fc.weight[:1])]).t().contiguous(),
        up_bias=torch.cat([mlp.c_fc.bias, mlp.c_fc.bias.new_tensor([UNIT])]),
        down=torch.cat([mlp.c_proj.weight.t(), (mlp.c_proj.bias / through)[None]]),
    )


class Session:
    """One decoding in progress: the cache, and the logits of the next token of each row.

    Attributes:
        logits: shape (rows, vocabulary); overwritten by the next step.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: torch.Tensor,
        lengths: list[int] | None,
        rows: int,
        new: int,
    ) -> None:
        config = decoder.config
        self.decoder, self.heads = decoder, config.num_heads
        self.width, self.eps = config.hidden_size, config.layer_norm_epsilon
        self.rows = len(prompts) * rows
        self.start = self.place = prompts.shape[1]
        slots = self.place + new
        self.slots = {False: slots, True: min(config.window_size, slots)}
        self._set_aside(prompts.device)
        self._read(prompts, lengths, rows)

    @property
    def cache_bytes(self) -> int:
        """How much memory keys and values take, in all layers."""
        return sum(cache.numel() * cache.element_size() for cache in self.caches)

    def _set_aside(self, device: torch.device) -> None:
        """Allocate the cache, (keys and values, rows, heads, slots, width of a head) in each layer, and what a step writes."""
        import torch

        rows, heads, width, layers = self.rows, self.heads, self.width, self.decoder.layers
        shapes = [(2, rows, heads, self.slots[layer.local], width // heads) for layer in layers]
        self.caches = [torch.zeros(shape, device=device) for shape in shapes]
        self.keys = [cache[0].flatten(0, 1).transpose(1, 2) for cache in self.caches]
        self.values = [cache[1].flatten(0, 1) for cache in self.caches]
        self.qkv = torch.empty(rows, 3 * width, device=device)
        self.query = self.qkv[:, :width].view(rows, heads, -1)
        self.added = self.qkv[:, width:].view(rows, 2, heads, -1).transpose(0, 1)
        self.mixed = torch.empty(rows, width, device=device)
        self.mixed_by_head = self.mixed.view(rows * heads, 1, -1)
        self.logits = torch.empty(rows, self.decoder.head.shape[1], device=device)

    def _read(self, prompts: torch.Tensor, lengths: list[int] | None, rows: int) -> None:
        """Pass the prompts through all layers, and keep what later tokens will look at."""
        import torch

        pads = prompts.new_tensor(
            [0] if lengths is None else [self.place - length for length in lengths]
        )
        real = (
            torch.arange(self.slots[False], device=prompts.device) - pads[:, None]
        )  # each slot's position, below 0: padding
        hidden = (
            self.decoder.words[prompts] + self.decoder.places[real[:, : self.place].clamp(min=0)]
        )
        for layer, cache in zip(self.decoder.layers, self.caches):
            hidden = self._read_layer(layer, cache, hidden, real[:, : self.place] < 0, rows)
        last = torch.layer_norm(hidden[:, -1], (self.width,), *self.decoder.norm, self.eps)
        self.logits.copy_((last @ self.decoder.head).repeat_interleave(rows, 0))
        self.positions = self.decoder.places[real[:, self.place :].clamp(min=0)].transpose(0, 1)
        self.positions = (
            self.positions if lengths is None else self.positions.repeat_interleave(rows, 1)
        )
        self.masks = {
            local: self._mask(real, slots, None if lengths is None else rows)
            for local, slots in self.slots.items()
        }

    def _read_layer(
        self,
        layer: _Layer,
        cache: torch.Tensor,
        hidden: torch.Tensor,
        padded: torch.Tensor,
        rows: int,
    ):
        """Return what one layer makes of the prompts, and write their keys and values, once for each of their rows."""
        import torch

        length, slots = hidden.shape[1], cache.shape[3]
        normed = torch.layer_norm(hidden, (self.width,), *layer.norm, self.eps)
        query, key, value = (
            (normed @ layer.qkv).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        distance = torch.arange(length, device=hidden.device)[:, None] - torch.arange(
            length, device=hidden.device
        )
        hidden_from = (distance < 0) | (distance >= slots) if layer.local else distance < 0
        unseen = hidden_from | padded[:, None, None]
        scores = (query @ key.transpose(-1, -2)).masked_fill(unseen, torch.finfo(query.dtype).min)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        kept = torch.arange(max(0, length - slots), length, device=hidden.device)
        cache[:, :, :, kept % slots] = torch.stack([key, value])[:, :, :, kept].repeat_interleave(
            rows, 1
        )
        hidden = hidden + mixed @ layer.out + layer.out_bias
        normed = torch.layer_norm(hidden, (self.width,), *layer.norm_2, self.eps)
        return hidden + self.decoder.activation(normed @ layer.up + layer.up_bias) @ layer.down

    def _mask(self, real: torch.Tensor, slots: int, rows: int | None) -> torch.Tensor:
        """Return what is added to the scores, 0 where a slot is filled, one row for all or one a row and head."""
        import torch

        kept = torch.arange(max(0, self.place - slots), self.place, device=real.device)
        mask = torch.full((len(real), 1, slots), torch.finfo(torch.float32).min, device=real.device)
        mask[:, 0, kept % slots] = mask[:, 0, kept % slots].masked_fill(real[:, kept] >= 0, 0.0)
        return mask if rows is None else mask.repeat_interleave(rows * self.heads, 0)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read one more token of each row, shape (rows,), and return the new :attr:`logits`."""
        import torch

        decoder, width, eps = self.decoder, (self.width,), self.eps
        hidden = torch.embedding(decoder.words, tokens).add_(
            self.positions[self.place - self.start]
        )
        places = {local: self.place % slots for local, slots in self.slots.items()}
        for local, mask in self.masks.items():
            mask.select(2, places[local]).zero_()
        for layer, cache, keys, values in zip(decoder.layers, self.caches, self.keys, self.values):
            torch.mm(torch.layer_norm(hidden, width, *layer.norm, eps), layer.qkv, out=self.qkv)
            cache.select(3, places[layer.local]).copy_(self.added)
            query = self.query.reshape(-1, 1, self.query.shape[2])
            scores = torch.baddbmm(self.masks[layer.local], query, keys)
            torch.bmm(torch.softmax(scores, -1), values, out=self.mixed_by_head)
            hidden.add_(layer.out_bias).addmm_(self.mixed, layer.out)
            inner = torch.addmm(
                layer.up_bias, torch.layer_norm(hidden, width, *layer.norm_2, eps), layer.up
            )
            hidden.addmm_(decoder.activation(inner), layer.down)
        self.place += 1
        return torch.mm(
            torch.layer_norm(hidden, width, *decoder.norm, eps), decoder.head, out=self.logits
        )

    def reorder(self, parents: torch.Tensor) -> None:
        """Let row i go on from what row ``parents[i]`` has read."""
        for cache in self.caches:
            cache.copy_(cache[:, parents])
