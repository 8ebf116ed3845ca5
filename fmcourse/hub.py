"""Where do models and tables come from? From the bundle, or from the Hugging Face hub, by one name.

Serves every notebook. A bundled name never touches the network. A hub name that cannot be had prints one
sentence and gives the bundled model in its place, so that a class goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from fmcourse import bundle, environment
from fmcourse.arguments import choose, require

if TYPE_CHECKING:
    import datasets
    from transformers import GPTNeoForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

__all__ = ["CLIPS", "LADDER", "STYLES", "held_out", "load_addresses", "load_adult", "load_clip", "load_emoji", "load_gpt_neo"]

CLIPS = ("emoji-clip", "sweep-clip")
LADDER = ("ladder-small", "ladder-medium", "ladder-large")
STYLES = ("noto", "noto-v1", "fluent-emoji-flat", "twemoji", "emojione", "openmoji")


def load_clip(name: str | None = None) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a CLIP and its processor, ready to embed pictures and texts.

    Args:
        name: ``emoji-clip`` or ``sweep-clip`` (bundled), or a hub name such as ``openai/clip-vit-base-patch32``; None means
            the profile's.

    Returns:
        The model in fp32 and evaluation mode on :func:`fmcourse.environment.device`, a VisionTextDualEncoderModel or a
        CLIPModel, and its processor.

    Raises:
        ValueError: a name that is neither bundled nor of the form ``owner/model``.
    """
    return _load(name or environment.profile().clip, CLIPS, CLIPS[0], _clip)


def load_gpt_neo(name: str | None = None) -> tuple[GPTNeoForCausalLM, PreTrainedTokenizerBase]:
    """Load a GPT-Neo and its tokenizer, ready to generate.

    Args:
        name: ``ladder-small``, ``ladder-medium`` or ``ladder-large`` (bundled), or a hub name such as
            ``EleutherAI/gpt-neo-125m``; None means the largest of the ladder, or the hub model of the full profile.

    Returns:
        The model in fp32 and evaluation mode on :func:`fmcourse.environment.device`, with eager attention
        (the only kind that honours GPT-Neo's local layers), and its tokenizer.

    Raises:
        ValueError: a name that is neither bundled nor of the form ``owner/model``.
    """
    return _load(name or _default_gpt_neo(), LADDER, LADDER[-1], _gpt_neo)


def load_addresses() -> datasets.Dataset:
    """Return the State of the Union addresses, 1790-2026, oldest first.

    Columns: address, year, date, president, party, delivery (spoken or written), annual (False for the few
    related messages), split (train, validation or test; whole years) and text.

    >>> load_addresses()[0]["president"]
    'George Washington'
    """
    return _table("addresses.parquet")


def load_adult() -> datasets.Dataset:
    """Return the Adult census income table of 1994 (Becker & Kohavi 1996), one row per person, 45,222 rows."""
    return _table("adult.parquet")


def load_emoji(styles: str | list[str] | None = None) -> datasets.Dataset:
    """Return emoji drawings with their names, one row per drawing.

    Args:
        styles: one of :data:`STYLES`, or several; None means all six.

    Returns:
        A dataset with columns image (PIL, RGBA, 64x64), name, keywords, group, subgroup, style, skin_tone,
        gender and codepoints.

    Raises:
        ValueError: an unknown style, or an empty list.
    """
    import datasets

    wanted = list(STYLES) if styles is None else [styles] if isinstance(styles, str) else list(styles)
    require(len(wanted) > 0, "styles", "at least one style", wanted)
    tables = [_table(f"emoji-{choose('styles', style, STYLES)}.parquet") for style in wanted]
    return datasets.concatenate_datasets(tables)


def held_out() -> tuple[frozenset[str], frozenset[str]]:
    """Return the code points of the emoji concepts that no bundled model was trained on, in any style or tone.

    Returns:
        Those to test on, 300, and their near-twins, which are kept out of training and of testing.
    """
    content = json.loads(bundle.path("emoji-held-out.json").read_text(encoding="utf-8"))
    return tuple(frozenset(entry["codepoints"] for entry in content[part]) for part in ("concepts", "twins"))


def _load(name: str, bundled: tuple[str, ...], fallback: str, load: Callable[[str], tuple]) -> tuple:
    """Load a bundled model, or one of the hub; a hub that cannot serve it costs one sentence, and gives the fallback."""
    if "/" not in name:
        return load(str(bundle.path(choose("name", name, bundled))))
    try:
        return load(name)
    except OSError as error:  # the hub's own errors are OSErrors: unreachable, missing, no permission
        print(f"{name} could not be loaded from the hub ({_first_line(error)}); going on with the bundled {fallback}.")
        return load(str(bundle.path(fallback)))


def _default_gpt_neo() -> str:
    profile = environment.profile()
    return LADDER[-1] if profile.name == "tiny" else profile.gpt_neo


def _gpt_neo(source: str) -> tuple[GPTNeoForCausalLM, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoTokenizer, GPTNeoForCausalLM

    model = GPTNeoForCausalLM.from_pretrained(source, dtype=torch.float32, attn_implementation="eager")
    return model.eval().to(environment.device()), AutoTokenizer.from_pretrained(source)


def _clip(source: str) -> tuple[PreTrainedModel, ProcessorMixin]:
    import torch
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(source, dtype=torch.float32)
    return model.eval().to(environment.device()), AutoProcessor.from_pretrained(source)


def _table(file: str) -> datasets.Dataset:
    import datasets
    import pyarrow.parquet

    return datasets.Dataset(pyarrow.parquet.read_table(bundle.path(file)))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
