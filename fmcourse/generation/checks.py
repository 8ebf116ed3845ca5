"""Checks of what a language model is given and of what it returns. Used by all of generation."""

import math
from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fmcourse.arguments import require

Ids = Tensor | Sequence[int]  # of one text, shape (length,) or (1, length)

IDS = 'token ids, such as tokenizer(text)["input_ids"]'


def encode(tokenizer: PreTrainedTokenizerBase, text, name: str = "text") -> list[int]:
    """Return the token ids of one text, without the tokenizer's remarks on long ones."""
    require(isinstance(text, str), name, "a text", text)
    return list(tokenizer(text, verbose=False)["input_ids"])


def token_ids(model, ids, least: int = 1, long: bool = False, name: str = "ids") -> Tensor:
    """Return one text's ids as whole numbers on the model's device, shape (1, length).

    Args:
        model: the language model that will read them, or its decoder.
        ids: a tensor, an array or a sequence of whole numbers, shape (length,) or (1, length).
        least: the fewest tokens.
        long: whether there may be more tokens than the model's context holds.
        name: the argument's name, for the message.

    Raises:
        ValueError: text, an encoding, fractions, several texts, unknown ids, too few or too many.
    """
    found = _integers(ids)
    require(found is not None, name, IDS, ids)
    shape = tuple(found.shape)
    one = shape[:-1] in ((), (1,)) and len(shape) > 0
    require(one, name, "one text, shape (length,) or (1, length)", shape)
    found = found.reshape(1, -1)
    length = found.shape[1]
    require(length >= least, name, f"at least {least} token(s)", found.tolist()[0])
    ends = (int(found.min()), int(found.max()))
    vocabulary = model.config.vocab_size
    inside = ends[0] >= 0 and ends[1] < vocabulary
    require(inside, name, f"token ids from 0 to {vocabulary - 1}", ends)
    context = model.config.max_position_embeddings
    fits = f"at most {context} tokens, the model's context; shorten the text"
    require(long or length <= context, name, fits, length)
    return found.to(model.device)


def _integers(ids: Any) -> Any:
    """Return whole numbers as a tensor, or None for anything else."""
    if isinstance(ids, str | bytes | Mapping | UserDict):
        return None
    try:
        found = ids if isinstance(ids, Tensor) else torch.from_numpy(np.array(ids))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    exact = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    return found.long() if exact or not found.numel() else None


def unpadded(model, prompts) -> list[Any]:
    """Return the prompts of a batch one by one; padding must not be read as text.

    Raises:
        ValueError: no list of prompts, or a padded table.
    """
    remedy = "a list of each prompt's token ids, without padding"
    encoding = isinstance(prompts, str | bytes | Mapping | UserDict)
    require(not encoding and hasattr(prompts, "__len__"), "prompts", remedy, prompts)
    require(len(prompts) >= 1, "prompts", "at least one prompt", prompts)
    tabular = isinstance(prompts, Tensor | np.ndarray) and len(prompts) > 1
    rows = [token_ids(model, prompt, long=True)[0].tolist() for prompt in prompts]
    # Rows of one length of which only some begin or end with padding tokens were padded.
    pad = getattr(model.config, "pad_token_id", None)
    pad = model.config.eos_token_id if pad is None else pad
    edges = {tuple(token == pad for token in (*row[:2], *row[-2:])) for row in rows}
    padded = tabular or (len({len(row) for row in rows}) == 1 and len(edges) > 1)
    require(not padded, "prompts", remedy, prompts)
    return rows


def finite(values: Tensor, what: str = "logits") -> Tensor:
    """Return the values, of which each must be a finite number.

    Raises:
        FloatingPointError: NaN or infinity, as a model gives whose weights diverged.
    """
    low, high = values.aminmax()  # both are NaN when one value is
    if not math.isfinite(high.item() - low.item()):
        raise FloatingPointError(
            f"the model's {what} are not finite (NaN or infinity), so no token can be chosen or "
            "scored; load the model again, or train it with a smaller learning rate or in fp32"
        )
    return values
