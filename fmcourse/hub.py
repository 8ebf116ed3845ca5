"""Where do models and tables come from? From the bundle, or from the Hugging Face hub, by one name.

Serves every notebook. A bundled name never touches the network. A hub name that cannot be had prints one
sentence and gives the bundled model in its place, so that a class goes on. From the hub come data alone: weights in
safetensors where the publisher has them, else in torch's format without its pickled objects, and never code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcourse import bundle, download, environment
from fmcourse.arguments import choose, require
from fmcourse.download import HubError, Snapshot
from fmcourse.environment import PROFILES, first_line

if TYPE_CHECKING:
    import datasets
    import torch
    from transformers import (
        GPTNeoForCausalLM,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        ProcessorMixin,
    )

__all__ = [
    "CLIPS",
    "LADDER",
    "STYLES",
    "held_out",
    "load_addresses",
    "load_adult",
    "load_clip",
    "load_emoji",
    "load_gpt_neo",
    "load_judge",
]

CLIPS = ("emoji-clip", "sweep-clip")
LADDER = ("ladder-small", "ladder-medium", "ladder-large")
CLIP_KINDS = ("clip", "vision-text-dual-encoder")  # of transformers, as config.json names them
GPT_NEO_KINDS = ("gpt_neo",)
LARGE_BYTES = (
    2e9  # weights of half a billion parameters in fp32: from here on half the memory matters
)
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
        ValueError: a name that is neither bundled nor of the form ``owner/model``, or a model that is no CLIP.
    """
    return _load(name or environment.profile().clip, CLIPS, CLIPS[0], CLIP_KINDS, _clip)


def load_gpt_neo(name: str | None = None) -> tuple[GPTNeoForCausalLM, PreTrainedTokenizerBase]:
    """Load a GPT-Neo and its tokenizer, ready to generate.

    Args:
        name: ``ladder-small``, ``ladder-medium`` or ``ladder-large`` (bundled), or a hub name such as
            ``EleutherAI/gpt-neo-125m``; None means the largest of the ladder, or the hub model of the full profile.

    Returns:
        The model in evaluation mode on :func:`fmcourse.environment.device`, with eager attention (the only kind that
        honours GPT-Neo's local layers), and its tokenizer. In fp32; a large one in bf16, in which GPT-Neo 1.3B was
        trained, on a GPU that computes in it.

    Raises:
        ValueError: a name that is neither bundled nor of the form ``owner/model``, or a model that is no GPT-Neo.
    """
    return _load(name or _default_gpt_neo(), LADDER, LADDER[-1], GPT_NEO_KINDS, _gpt_neo)


def load_judge(writer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return the profile's larger model that reads what `writer` wrote, or the writer itself, and then say so.

    A judge must read the same tokens. When the hub gave only one of the two, the bundled model in place of the other
    reads different ones.
    """
    judge, reads = load_gpt_neo(environment.profile().judge)
    if reads.get_vocab() == tokenizer.get_vocab():
        return judge
    print(
        "The judge reads other tokens than the writer, so the writer judges itself; do not compare these figures."
    )
    return writer


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

    wanted = (
        list(STYLES) if styles is None else [styles] if isinstance(styles, str) else list(styles)
    )
    require(len(wanted) > 0, "styles", "at least one style", wanted)
    tables = [_table(f"emoji-{choose('styles', style, STYLES)}.parquet") for style in wanted]
    return datasets.concatenate_datasets(tables)


def held_out() -> tuple[frozenset[str], frozenset[str]]:
    """Return the code points of the emoji concepts that no bundled model was trained on, in any style or tone.

    Returns:
        Those to test on, 300, and their near-twins, which are kept out of training and of testing.
    """
    content = json.loads(bundle.path("emoji-held-out.json").read_text(encoding="utf-8"))
    return tuple(
        frozenset(entry["codepoints"] for entry in content[part]) for part in ("concepts", "twins")
    )


def _load(
    name: str,
    bundled: tuple[str, ...],
    fallback: str,
    kinds: tuple[str, ...],
    load: Callable[..., tuple],
) -> tuple:
    """Load a bundled model, or one of the hub; a hub that cannot serve it costs one sentence, and gives a bundled one."""
    if "/" not in name:
        return load(bundle.path(choose("name", name, bundled)))
    try:
        return _from_hub(name, kinds, load)
    except HubError as error:
        instead = _stand_in(name, fallback)
        print(
            f"{name} could not be loaded from the hub ({error}); going on with the bundled {instead}."
        )
        return load(bundle.path(instead))


def _stand_in(name: str, fallback: str) -> str:
    """Return the bundled model in the role that the full profile gives to a name: a writer's is smaller than its judge's."""
    full, tiny = PROFILES["full"], PROFILES["tiny"]
    roles = {getattr(full, role): getattr(tiny, role) for role in ("gpt_neo", "judge", "clip")}
    return roles.get(name, fallback)


def _from_hub(name: str, kinds: tuple[str, ...], load: Callable[..., tuple]) -> tuple:
    pin = bundle.pinned().get(name)
    snapshot = download.fetch(name, pin["revision"] if pin else "main")
    if pin is None:
        print(f"{name}: main stands at commit {snapshot.commit}; unverified.")
    kind = json.loads((snapshot.folder / "config.json").read_text(encoding="utf-8")).get(
        "model_type"
    )
    require(kind in kinds, "name", f"a model of type {' or '.join(kinds)}", kind)
    try:
        return load(snapshot.folder, snapshot)
    except Exception as error:  # what a publisher's files hold can fail in any way
        raise HubError(f"its files do not load: {first_line(error)}") from error


def _default_gpt_neo() -> str:
    profile = environment.profile()
    return LADDER[-1] if profile.name == "tiny" else profile.gpt_neo


def _gpt_neo(
    folder: Path, snapshot: Snapshot | None = None
) -> tuple[GPTNeoForCausalLM, PreTrainedTokenizerBase]:
    from transformers import AutoTokenizer, GPTNeoForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    dtype = _dtype(snapshot.weight_bytes if snapshot else 0)
    return _model(
        GPTNeoForCausalLM, folder, snapshot, dtype=dtype, attn_implementation="eager"
    ), tokenizer


def _clip(folder: Path, snapshot: Snapshot | None = None) -> tuple[PreTrainedModel, ProcessorMixin]:
    from transformers import AutoModel, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    return _model(AutoModel, folder, snapshot, dtype=_dtype(0)), processor


def _dtype(weight_bytes: int) -> torch.dtype:
    import torch

    return (
        torch.bfloat16
        if weight_bytes >= LARGE_BYTES and environment.native_bf16()
        else torch.float32
    )


def _model(kind: type, folder: Path, snapshot: Snapshot | None, **options: Any) -> PreTrainedModel:
    """Load every weight from data alone, and bring the model to the device."""
    safe = {
        "use_safetensors": snapshot is None or snapshot.safetensors,
        "weights_only": True,
        "trust_remote_code": False,
    }
    model, found = kind.from_pretrained(folder, output_loading_info=True, **safe, **options)
    missing = sorted(found["missing_keys"])
    if missing:
        raise HubError(f"{len(missing)} weights are missing, the first is {missing[0]}")
    return environment.placed(model.eval())


def _table(file: str) -> datasets.Dataset:
    import datasets
    import pyarrow.parquet

    return datasets.Dataset(pyarrow.parquet.read_table(bundle.path(file)))
