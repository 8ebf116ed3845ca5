"""Models load by name or from a folder; the hub's arrive whole or not at all, with one clause."""

import errno
import importlib.util
import json
import os
import re
import shutil
import types
from pathlib import Path

import pytest
import torch
import transformers
from doubles import CASES, refused, same, tiny_gpt_neo, tiny_vit_clip, word_tokenizer
from hub_server import COMMIT, NAME, Fault, HubServer
from huggingface_hub import constants, file_download

from fmcourse import clip, data, generation, models, runtime
from fmcourse.models import CLIPS, LADDER, ModelError, fetch, load_clip, load_gpt_neo

LATER = COMMIT[::-1]  # a later commit


@pytest.fixture(scope="module", autouse=True)
def quiet():
    runtime.setup()  # as every notebook does: no progress bars


@pytest.fixture(scope="module")
def ladder():
    return {name: load_gpt_neo(name) for name in LADDER}


# Bundled models.


@pytest.mark.parametrize("name", LADDER)
def test_a_bundled_gpt_neo_is_ready_to_generate(ladder, name):
    model, tokenizer = ladder[name]
    assert model.config._attn_implementation == "eager" and not model.training
    assert model.dtype == torch.float32 and model.device.type == "cpu"
    ids = tokenizer("Fellow-Citizens: “1790” – é?\n")["input_ids"]
    assert tokenizer.decode(ids) == "Fellow-Citizens: “1790” – é?\n"


@pytest.mark.parametrize("name", CLIPS)
def test_a_bundled_clip_finds_drawings_that_it_was_trained_on(name):
    model, processor = load_clip(name)
    assert model.dtype == torch.float32 and not model.training
    table = data.load_emoji("noto").select(range(0, 300, 10))
    pictures = clip.embed_images(model, processor, list(table["image"]))
    names = clip.embed_texts(model, processor, list(table["name"]))
    ranks = clip.retrieval_ranks(pictures, names, range(len(table)))
    assert (ranks < 5).float().mean() > 0.5  # chance is 5 of 30


def test_the_default_is_the_profiles_model_and_two_loads_share_no_weights(ladder):
    model, _ = load_gpt_neo()
    bundled, _ = ladder[runtime.TINY.gpt_neo]
    assert same(model, bundled) and same(load_clip()[0], load_clip(runtime.TINY.clip)[0])
    torch.nn.init.zeros_(model.transformer.wte.weight)
    assert not same(model, bundled)


# Models in folders.


@pytest.fixture
def mine(home):
    """A GPT-Neo and a CLIP of the student's, in ~/models; the home is the working folder."""
    for name, parts in {"neo": (tiny_gpt_neo(), word_tokenizer()), "clip": tiny_vit_clip()}.items():
        for part in parts:
            part.save_pretrained(home / "models" / name)
    shutil.copytree("models/neo", "neo")
    return home


@pytest.mark.parametrize("place", ["~/models", "./models", "{home}/models"])
def test_a_folder_is_loaded_from_there(mine, place):
    folder = place.format(home=mine)
    model, tokenizer = load_gpt_neo(f"{folder}/neo")
    assert same(model, tiny_gpt_neo()) and not model.training
    assert tokenizer("red cat")["input_ids"] == word_tokenizer()("red cat")["input_ids"]
    assert same(load_clip(Path(folder, "clip"))[0], tiny_vit_clip()[0])


def test_a_bundled_name_is_the_bundled_model_whatever_folders_there_are(mine, ladder):
    shutil.copytree("neo", "ladder-small")
    assert same(load_gpt_neo("ladder-small")[0], ladder["ladder-small"][0])


@pytest.mark.parametrize("name, words", CASES["models"]["names"])
def test_a_wrong_name_is_refused(mine, name, words):
    with refused("name", words):
        load_gpt_neo(name)


class Spoiler:
    """What a pickle can do when it is loaded with all its objects: write a file."""

    def __reduce__(self):
        return open, ("spoilt", "w")


def loads_nothing(folder, word):
    with refused("name", word):
        load_gpt_neo(folder)
    return not Path("spoilt").exists()


@pytest.mark.parametrize("file, content, word", CASES["models"]["harms"])
def test_a_folder_that_holds_no_whole_model_is_refused(mine, file, content, word):
    path = mine / "neo" / file
    path.unlink(missing_ok=True)
    if content:
        path.write_text(content)
    assert loads_nothing(mine / "neo", word)


@pytest.mark.parametrize(
    "state, word",
    [
        ({"transformer.ln_f.weight": torch.ones(16)}, "weights are missing"),
        ({"x": Spoiler()}, "do not load"),
    ],
)
def test_weights_that_are_not_whole_or_more_than_numbers_are_refused(mine, state, word):
    os.remove("neo/model.safetensors")
    torch.save(state, "neo/pytorch_model.bin")
    assert loads_nothing(mine / "neo", word)


def test_no_code_of_a_publisher_is_run(mine):
    config = json.loads(Path("neo/config.json").read_text())
    config["auto_map"] = {"AutoConfig": "publisher.Neo", "AutoModelForCausalLM": "publisher.Neo"}
    Path("neo/config.json").write_text(json.dumps(config))
    Path("neo/publisher.py").write_text("open('spoilt', 'w')")
    Path("neo/model.safetensors").write_text("cut off")
    assert loads_nothing(mine / "neo", "do not load")


# Models of the hub, as a server on loopback gives them.


def fails(words):
    return pytest.raises(ModelError, match=words)


@pytest.mark.parametrize("layout", ["sharded", "torch", "both"])
def test_a_model_of_the_hub_arrives_whole_and_nothing_else_does(server, layouts, layout, printed):
    server.add(NAME, layouts / layout)
    assert same(load_gpt_neo(NAME)[0], tiny_gpt_neo())
    fetching, _, commit = printed().partition(f"main stands at commit {COMMIT}")
    assert "fetching 0 MB" in fetching and "unverified" in commit
    fetched = {file.name for file in fetch(NAME).iterdir()}
    assert not fetched & {"README.md", "modeling_neo.py", "flax_model.msgpack"}
    assert ("pytorch_model.bin" in fetched) is (layout == "torch")


def test_the_full_profiles_models_are_asked_for_by_their_commits(
    server, layouts, tmp_path, monkeypatch, printed
):
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")
    for part in tiny_vit_clip():
        part.save_pretrained(tmp_path / "clip")
    for name, pin in data.pinned().items():
        folder = tmp_path / "clip" if name == runtime.FULL.clip else layouts / "single"
        server.add(name, folder, pin["revision"])
    writer, tokenizer = load_gpt_neo()
    assert same(models.load_judge(writer, tokenizer), writer)
    assert same(load_clip()[0], tiny_vit_clip()[0])
    said = printed()
    assert said.count("fetching") == 3 and "unverified" not in said


def test_what_is_in_the_cache_is_not_fetched_again_until_the_branch_moves(server, layouts, printed):
    first = fetch(NAME)
    server.asked.clear()
    assert fetch(NAME) == first
    assert not any("resolve" in request for request in server.asked if request[:3] == "GET")
    server.asked.clear()
    assert fetch(NAME, COMMIT) == first and server.asked == []
    with fails("not this revision"):
        fetch(NAME, LATER)
    server.add(NAME, layouts / "sharded", LATER)
    assert fetch(NAME).name == LATER and printed().count("fetching") == 2


@pytest.mark.parametrize("fault, clause", CASES["models"]["faults"])
def test_a_fault_is_one_clause_and_a_retry_succeeds(server, monkeypatch, fault, clause):
    server.faults = [Fault(**fault)]
    with monkeypatch.context() as patch:
        if "stall" in fault:
            patch.setattr(models, "ASK_SECONDS", 0.1)
            patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
        with fails(re.escape(clause)):
            fetch(NAME)
    server.faults = []
    models._found_whole.clear()
    assert fetch(NAME).name == COMMIT and same(load_gpt_neo(NAME)[0], tiny_gpt_neo())


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    with HubServer() as closed:
        pass
    closed.connect(monkeypatch, tmp_path / "cache")
    with fails("cannot be reached"):
        fetch(NAME)


def test_a_disk_that_is_too_small_or_fills_up(server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=2e8))
        with fails("needs 500 MB of disk, and 200 MB are free"):
            fetch(NAME)
    assert not any("safetensors" in request for request in server.asked)

    def fill(*url, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_download, "http_get", fill)
    with fails("the disk is full"):
        fetch(NAME)


# The copy in the cache.


def test_a_hub_that_does_not_answer_leaves_the_copy_of_an_earlier_class(server, layouts, printed):
    server.add(NAME, layouts / "sharded")
    first = fetch(NAME)
    server.faults = [Fault("", 503)]
    assert fetch(NAME) == first and "going on with the copy" in printed()
    next(first.glob("*.safetensors")).unlink()
    with fails("out of order"):
        fetch(NAME)


@pytest.mark.parametrize("links, revision", [(True, "main"), (True, COMMIT), (False, "main")])
def test_a_copy_that_rotted_is_deleted_and_fetched_again(server, monkeypatch, links, revision):
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda folder: links)
    folder = fetch(NAME, revision)
    weights = (folder / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    models._found_whole.clear()
    with fails("model.safetensors was altered"):
        fetch(NAME, revision)
    assert fetch(NAME, revision) == folder and same(load_gpt_neo(NAME)[0], tiny_gpt_neo())


def test_a_cache_without_links_that_others_filled_is_unchecked(server, monkeypatch, printed):
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda folder: False)
    folder = fetch(NAME)
    (folder / models.RECORD).unlink()
    models._found_whole.clear()
    assert fetch(NAME, COMMIT) == folder and "unchecked" in printed()


# Without the hub: one sentence, and the bundled model of that role.


@pytest.fixture
def off(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")


@pytest.mark.parametrize(
    "load, name, instead",
    [
        (load_gpt_neo, None, "ladder-medium"),
        (load_gpt_neo, runtime.FULL.judge, "ladder-large"),
        (load_clip, "ada/clip", "emoji-clip"),
    ],
)
def test_offline_one_sentence_says_so_and_the_bundled_model_comes(off, capsys, load, name, instead):
    model, _ = load(name)
    said, warned = capsys.readouterr()
    assert said.count("\n") == 1 and said.endswith(f"going on with the bundled {instead}.\n")
    assert "HF_HUB_OFFLINE" in said and warned == ""
    assert same(model, load(instead)[0])


def test_a_judge_that_reads_different_tokens_is_replaced_by_the_writer(off, printed):
    writer = tiny_gpt_neo()
    assert models.load_judge(writer, word_tokenizer()) is writer
    assert "the writer judges itself" in printed()


@pytest.mark.parametrize(
    "native, large, dtype",
    [(True, 1, torch.bfloat16), (False, 1, torch.float32), (True, 2e9, torch.float32)],
)
def test_only_a_large_model_on_a_new_gpu_is_in_bf16(mine, monkeypatch, native, large, dtype):
    monkeypatch.setattr(runtime, "native_bf16", lambda: native)
    monkeypatch.setattr(models, "LARGE_BYTES", large)
    model, _ = load_gpt_neo("neo")
    assert model.dtype == dtype
    assert generation.token_losses(model, [1, 2, 3]).dtype == torch.float32


# SmolLM2, from its package.


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "cache_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def packed(cache, monkeypatch):
    """Installed packages whose weights a stand-in for transformers unpacks; returns the model."""
    config = transformers.LlamaConfig(**CASES["models"]["llama"])
    model = transformers.LlamaForCausalLM(config).eval()
    model.config.quantization_config = {"quant_method": "gguf"}
    (cache / "small.gguf").touch()
    spec = types.SimpleNamespace(origin=str(cache / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    read = models.AutoTokenizer.from_pretrained

    def tokenizer(folder, gguf_file=None):
        return word_tokenizer() if gguf_file else read(folder)

    monkeypatch.setattr(models.AutoTokenizer, "from_pretrained", tokenizer)
    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", lambda *_, **how: model)
    return model


def test_where_smollm2_is_not_installed_a_sentence_says_how(cache, monkeypatch, printed):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert models.load_smollm2() is None and list(cache.iterdir()) == []
    assert "%pip install" in printed()


def test_smollm2_is_unpacked_once_and_whole(cache, packed, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(models, "save_model", lambda *model, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            models.load_smollm2()
    assert os.listdir(cache) == ["small.gguf"]
    model, tokenizer = models.load_smollm2()
    monkeypatch.setattr(models, "_unpack", lambda folder: pytest.fail("unpacked twice"))
    assert same(model, packed) and same(models.load_smollm2()[0], packed)
    assert not model.training and not hasattr(model.config, "quantization_config")
    assert model.config.max_position_embeddings == models.SMOLLM2_CONTEXT
    ids = tokenizer("a red cat")["input_ids"]
    assert generation.generate(model, ids, generation.Greedy(), 5).shape == (1, len(ids) + 5)
