"""Bundled models and tables load by name, offline; what cannot be had is said in one sentence."""

from __future__ import annotations

import collections
import json
import shutil

import pytest
import torch
from doubles import forget_bundle, says, tiny_gpt_neo, tiny_vit_clip, word_tokenizer
from hub_server import COMMIT, NAME, Fault
from huggingface_hub import constants

from fmcourse import bundle, environment, generation, hub
from fmcourse.hub import (
    LADDER,
    STYLES,
    held_out,
    load_addresses,
    load_adult,
    load_emoji,
    load_gpt_neo,
)

MILLIONS = {"ladder-small": 0.1, "ladder-medium": 0.5, "ladder-large": 2.0}
STYLE_LIST = ", ".join(map(repr, STYLES))
EMOJI_COLUMNS = [
    "image",
    "name",
    "keywords",
    "group",
    "subgroup",
    "style",
    "skin_tone",
    "gender",
    "codepoints",
]
ADDRESS_COLUMNS = [
    "address",
    "year",
    "date",
    "president",
    "party",
    "delivery",
    "annual",
    "split",
    "text",
]
SENTENCE = "Fellow-Citizens of the Senate and House of Representatives: “1790” – é?\n"


@pytest.fixture(scope="module", autouse=True)
def quiet():
    environment.setup()  # as every notebook does: no progress bars


@pytest.fixture(scope="module")
def ladder():
    return {name: load_gpt_neo(name) for name in LADDER}


@pytest.fixture(scope="module")
def addresses():
    return load_addresses()


@pytest.fixture(scope="module")
def adult():
    return load_adult()


# Models.


@pytest.mark.parametrize("name", LADDER)
def test_a_bundled_model_is_ready_to_generate(ladder, name):
    model, tokenizer = ladder[name]
    assert type(model).__name__ == "GPTNeoForCausalLM"
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.device.type == "cpu"
    assert model.config._attn_implementation == "eager"
    assert "local" in model.config.attention_layers
    assert tokenizer.eos_token_id == model.config.eos_token_id < model.config.vocab_size


@pytest.mark.parametrize("name", LADDER)
def test_a_bundled_model_has_about_the_size_it_promises(ladder, name):
    size = ladder[name][0].num_parameters() / 1e6
    assert (
        MILLIONS[name] / 1.5 <= size <= MILLIONS[name] * 1.5
    )  # "about": nearer to its own rung than to another


def test_the_ladder_shares_one_tokenizer_that_loses_nothing(ladder):
    tokens = [tokenizer(SENTENCE)["input_ids"] for _, tokenizer in ladder.values()]
    assert tokens[0] == tokens[1] == tokens[2]
    tokenizer = ladder["ladder-large"][1]
    assert tokenizer.decode(tokens[0]) == SENTENCE
    assert max(tokens[0]) < ladder["ladder-small"][0].config.vocab_size
    assert tokenizer.eos_token_id not in tokens[0]


def test_a_larger_model_is_less_surprised(ladder, addresses):
    from fmcourse.generation import bits_per_byte

    unseen = next(row["text"] for row in addresses if row["split"] == "test")[:2000]
    small, medium, large = (bits_per_byte(*ladder[name], unseen) for name in LADDER)
    assert (
        large < medium < small < 3
    )  # three bits a byte is about what single-letter frequencies of English need


def test_the_default_of_the_tiny_profile_is_the_largest(ladder):
    model, _ = load_gpt_neo()
    assert model.num_parameters() == ladder["ladder-large"][0].num_parameters()


def test_two_loads_share_no_weights(ladder):
    model, _ = load_gpt_neo("ladder-small")
    torch.nn.init.zeros_(model.transformer.wte.weight)
    assert ladder["ladder-small"][0].transformer.wte.weight.abs().sum() > 0


CLIP_MILLIONS = {"emoji-clip": 7.8, "sweep-clip": 0.4}
CLIP_MEGABYTES = {"emoji-clip": 16.0, "sweep-clip": 1.0}


@pytest.fixture(scope="module")
def clips():
    return {name: hub.load_clip(name) for name in hub.CLIPS}


@pytest.mark.parametrize("name", hub.CLIPS)
def test_a_bundled_clip_is_ready_to_embed(clips, name):
    model, processor = clips[name]
    assert type(model).__name__ == "VisionTextDualEncoderModel"
    assert type(processor).__name__ == "VisionTextDualEncoderProcessor"
    assert not model.training and model.device.type == "cpu"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.num_parameters() / 1e6 == pytest.approx(CLIP_MILLIONS[name], rel=0.25)
    assert model.logit_scale.exp().item() <= 100.01


@pytest.mark.parametrize("name", hub.CLIPS)
def test_a_bundled_clip_has_at_most_its_size(name):
    files = [file for file in (bundle.BUNDLED / name).iterdir() if file.name != "report.json"]
    assert sum(file.stat().st_size for file in files) <= CLIP_MEGABYTES[name] * 1e6


@pytest.mark.parametrize("name", hub.CLIPS)
def test_a_bundled_clip_finds_drawings_that_it_was_trained_on(clips, name):
    from fmcourse import clip

    table = load_emoji("noto").select(range(0, 300, 10))
    ranks = clip.retrieval_ranks(
        clip.embed_images(*clips[name], list(table["image"])),
        clip.embed_texts(*clips[name], list(table["name"])),
        range(len(table)),
    )
    assert (ranks < 5).float().mean() > 0.5  # chance is 5 of 30


def test_the_default_clip_of_the_tiny_profile_is_the_bundled_one(clips):
    model, _ = hub.load_clip()
    assert all(map(torch.equal, model.parameters(), clips["emoji-clip"][0].parameters()))


def test_an_unknown_clip_lists_what_there_is():
    with says(
        ValueError,
        "name: expected one of 'emoji-clip', 'sweep-clip', got 'emoji-clp'; did you mean 'emoji-clip'?",
    ):
        hub.load_clip("emoji-clp")


# Models of the hub, as a server on loopback gives them.

OFF = "the hub is switched off here: HF_HUB_OFFLINE is set"


@pytest.fixture
def off(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def sentence(name, reason, instead):
    return f"{name} could not be loaded from the hub ({reason}); going on with the bundled {instead}.\n"


@pytest.mark.parametrize(
    "load, name, instead",
    [
        (load_gpt_neo, "EleutherAI/gpt-neo-125m", "ladder-medium"),
        (load_gpt_neo, "EleutherAI/gpt-neo-1.3B", "ladder-large"),
        (load_gpt_neo, "ada/neo", "ladder-large"),
        (hub.load_clip, "openai/clip-vit-base-patch32", "emoji-clip"),
        (hub.load_clip, "ada/clip", "emoji-clip"),
    ],
)
def test_a_name_of_the_hub_offline_gives_one_sentence_and_the_bundled_model_of_that_role(
    off, capsys, load, name, instead
):
    model, _ = load(name)
    captured = capsys.readouterr()
    assert captured.out == sentence(name, OFF, instead) and captured.err == ""
    assert all(map(torch.equal, model.parameters(), load(instead)[0].parameters()))


def test_the_full_profile_offline_says_the_same(off, monkeypatch, ladder, capsys):
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")
    model, _ = load_gpt_neo()
    assert capsys.readouterr().out == sentence("EleutherAI/gpt-neo-125m", OFF, "ladder-medium")
    assert model.num_parameters() == ladder["ladder-medium"][0].num_parameters()


@pytest.mark.parametrize("layout", ["single", "sharded", "torch", "both"])
def test_a_model_of_the_hub_is_that_of_its_publisher(server, layouts, capsys, layout):
    server.add(NAME, layouts / layout)
    model, tokenizer = load_gpt_neo(NAME)
    assert all(map(torch.equal, model.parameters(), tiny_gpt_neo().parameters()))
    assert not model.training and model.config._attn_implementation == "eager"
    assert tokenizer("a red cat")["input_ids"] == word_tokenizer()("a red cat")["input_ids"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{NAME}: main stands at commit {COMMIT}; unverified."


def test_a_clip_of_the_hub_is_that_of_its_publisher(server, tmp_path):
    model, processor = tiny_vit_clip()
    for part in (model, processor):
        part.save_pretrained(tmp_path / "clip")
    server.add("ada/clip", tmp_path / "clip")
    loaded, _ = hub.load_clip("ada/clip")
    assert all(map(torch.equal, loaded.parameters(), model.parameters()))


def test_the_full_profiles_names_are_asked_for_by_their_commits(
    server, layouts, monkeypatch, capsys
):
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")
    pin = bundle.pinned()["EleutherAI/gpt-neo-125m"]["revision"]
    server.add("EleutherAI/gpt-neo-125m", layouts / "single", pin)
    model, _ = load_gpt_neo()
    assert all(map(torch.equal, model.parameters(), tiny_gpt_neo().parameters()))
    assert (
        capsys.readouterr().out
        == f"EleutherAI/gpt-neo-125m: fetching 0.0 MB from the hub, commit {pin}.\n"
    )


def test_a_fault_of_the_hub_gives_its_clause_and_a_retry_the_model(server, capsys):
    server.faults = [Fault("/storage/", short=True)]
    model, _ = load_gpt_neo(NAME)
    said = capsys.readouterr().out.splitlines(keepends=True)[-1]
    assert said == sentence(NAME, "a file came incomplete; run the cell again", "ladder-large")
    server.faults = []
    assert (
        load_gpt_neo(NAME)[0].num_parameters()
        == tiny_gpt_neo().num_parameters()
        != model.num_parameters()
    )


class Spoiler:
    """What a pickle can do when it is loaded with all its objects: write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def changed(server, layouts, tmp_path, capsys):
    """Return a function that publishes a layout changed in one way, loads it, and returns what was said last."""

    def run(layout, change):
        shutil.copytree(layouts / layout, tmp_path / "changed")
        change(tmp_path / "changed")
        server.add(NAME, tmp_path / "changed")
        load_gpt_neo(NAME)
        return capsys.readouterr().out.splitlines()[-1]

    return run


def test_a_pickle_that_holds_more_than_numbers_is_refused(changed, tmp_path):
    spoil = lambda folder: torch.save(
        {"x": Spoiler(tmp_path / "spoilt")}, folder / "pytorch_model.bin"
    )
    assert changed("torch", spoil).startswith(
        f"{NAME} could not be loaded from the hub (its files do not load: "
    )
    assert not (tmp_path / "spoilt").exists()


def test_weights_that_are_missing_are_no_random_numbers(changed):
    def drop(folder):
        state = torch.load(folder / "pytorch_model.bin", weights_only=True)
        del state["transformer.ln_f.weight"]
        torch.save(state, folder / "pytorch_model.bin")

    said = changed("torch", drop)
    assert (
        "(its files do not load: 1 weights are missing, the first is transformer.ln_f.weight); going on"
        in said
    )


def test_code_of_a_publisher_is_never_run(changed, tmp_path):
    def add_code(folder):
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {
            "AutoModelForCausalLM": "modeling_neo.Neo",
            "AutoConfig": "modeling_neo.Neo",
        }
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "modeling_neo.py").write_text(f"open({str(tmp_path / 'spoilt')!r}, 'w')")

    changed("single", add_code)
    assert not (tmp_path / "spoilt").exists()


@pytest.mark.parametrize(
    "load, kinds", [(load_gpt_neo, "gpt_neo"), (hub.load_clip, "clip or vision-text-dual-encoder")]
)
def test_a_model_of_another_kind_is_refused(server, layouts, tmp_path, load, kinds):
    shutil.copytree(layouts / "single", tmp_path / "changed")
    (tmp_path / "changed" / "config.json").write_text(json.dumps({"model_type": "llama"}))
    server.add(NAME, tmp_path / "changed")
    with says(ValueError, f"name: expected a model of type {kinds}, got 'llama'"):
        load(NAME)


# The judge, the number format, the device.


def test_the_judge_of_the_tiny_profile_is_the_larger_model(ladder):
    assert (
        hub.load_judge(*ladder["ladder-medium"]).num_parameters()
        == ladder["ladder-large"][0].num_parameters()
    )


def test_a_judge_that_reads_other_tokens_is_replaced_by_the_writer(off, monkeypatch, capsys):
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")
    writer = tiny_gpt_neo()
    assert hub.load_judge(writer, word_tokenizer()) is writer
    assert capsys.readouterr().out.splitlines()[-1] == (
        "The judge reads other tokens than the writer, so the writer judges itself; do not compare these figures."
    )


@pytest.mark.parametrize(
    "bytes_, native, dtype",
    [
        (5.3e9, True, torch.bfloat16),
        (5.3e9, False, torch.float32),
        (5e8, True, torch.float32),
        (0, False, torch.float32),
    ],
)
def test_only_a_large_model_on_a_new_gpu_is_in_bf16(monkeypatch, bytes_, native, dtype):
    monkeypatch.setattr(environment, "native_bf16", lambda: native)
    assert hub._dtype(bytes_) == dtype


@pytest.mark.parametrize("layout", ["sharded", "torch"])
def test_a_model_in_bf16_generates(server, layouts, monkeypatch, layout):
    monkeypatch.setattr(environment, "native_bf16", lambda: True)
    monkeypatch.setattr(hub, "LARGE_BYTES", 1)
    server.add(NAME, layouts / layout)
    model, _ = load_gpt_neo(NAME)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert generation.generate(model, [1, 2], generation.Sample(), 3, seed=0).shape[1] >= 3
    assert generation.token_losses(model, [1, 2, 3]).dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ladder-larg", "; did you mean 'ladder-large'?"),
        ("gpt2", ""),
        ("ladder-small ", "; did you mean 'ladder-small'?"),
    ],
)
def test_a_wrong_name_lists_the_choices(name, hint):
    with says(
        ValueError,
        f"name: expected one of 'ladder-small', 'ladder-medium', 'ladder-large', got {name!r}{hint}",
    ):
        load_gpt_neo(name)


# Tables.


def test_addresses_as_documented(addresses):
    assert addresses.column_names == ADDRESS_COLUMNS
    assert list(addresses["date"]) == sorted(addresses["date"])  # oldest first
    first, last = addresses[0], addresses[-1]
    assert (first["year"], first["president"], last["year"]) == (1790, "George Washington", 2026)
    assert set(addresses["delivery"]) == {"spoken", "written"}
    assert set(addresses["annual"]) == {True, False}
    assert all(text.strip() for text in addresses["text"])


def test_addresses_are_split_by_whole_years(addresses):
    splits = collections.defaultdict(set)
    for year, split in zip(addresses["year"], addresses["split"]):
        splits[year].add(split)
    assert all(len(found) == 1 for found in splits.values())
    counts = collections.Counter(addresses["split"])
    assert set(counts) == {"train", "validation", "test"}
    assert counts["train"] > counts["test"] + counts["validation"]


def test_a_year_written_in_a_date_is_the_year_of_the_row(addresses):
    assert all(
        str(row["date"])[:4] == str(row["year"])
        for row in addresses.select_columns(["date", "year"])
    )


def test_adult_as_documented(adult):
    assert len(adult) == 45_222
    names = {name.lower() for name in adult.column_names}
    assert {"age", "sex", "race"} <= names
    assert all(value is not None for column in adult.column_names for value in adult[column][:100])


@pytest.mark.parametrize("style", STYLES)
def test_emoji_as_documented(style):
    emoji = load_emoji(style)
    assert emoji.column_names == EMOJI_COLUMNS
    assert set(emoji["style"]) == {style}
    assert len(emoji) > 1000 and len(set(emoji["codepoints"])) == len(emoji)
    image = emoji[0]["image"]
    assert (image.mode, image.size) == ("RGBA", (64, 64))
    assert image.getbbox() is not None and image.getextrema()[3] != (
        255,
        255,
    )  # something is drawn, on nothing


def test_several_styles_come_in_the_order_asked():
    both = load_emoji(["twemoji", "noto"])
    assert list(dict.fromkeys(both["style"])) == ["twemoji", "noto"]
    assert len(both) == len(load_emoji("twemoji")) + len(load_emoji("noto"))


def test_all_six_styles_by_default():
    assert list(dict.fromkeys(load_emoji()["style"])) == list(STYLES)


@pytest.mark.parametrize(
    ("styles", "words"),
    [
        ([], "styles: expected at least one style, got []"),
        (
            "twemojo",
            f"styles: expected one of {STYLE_LIST}, got 'twemojo'; did you mean 'twemoji'?",
        ),
        (["noto", "x"], f"styles: expected one of {STYLE_LIST}, got 'x'"),
        ([3], f"styles: expected one of {STYLE_LIST}, got 3"),
    ],
)
def test_a_wrong_style_lists_the_choices(styles, words):
    with says(ValueError, words):
        load_emoji(styles)


def test_held_out_concepts_are_in_the_table_and_none_is_its_own_twin():
    concepts, twins = held_out()
    assert isinstance(concepts, frozenset) and isinstance(twins, frozenset)
    assert len(concepts) == 300 and twins and not concepts & twins
    plain = load_emoji("noto").select_columns(["codepoints", "group", "skin_tone"])
    known = {row["codepoints"] for row in plain if row["skin_tone"] == "none"}
    assert concepts | twins <= known
    assert not {row["codepoints"] for row in plain if row["group"] == "flags"} & concepts
    assert held_out() == (concepts, twins)


# What a damaged bundle says.


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Put an altered and a missing file in the place of the real ones: the manifest is real, the folder is a copy of little."""
    (tmp_path / "manifest.json").write_bytes((bundle.BUNDLED / "manifest.json").read_bytes())
    (tmp_path / "adult.parquet").write_bytes(
        (bundle.BUNDLED / "adult.parquet").read_bytes()[:-1] + b"x"
    )
    monkeypatch.setattr(bundle, "BUNDLED", tmp_path)
    forget_bundle()
    yield tmp_path
    forget_bundle()


@pytest.mark.parametrize(
    ("load", "file"),
    [
        (load_adult, "adult.parquet"),
        (load_addresses, "addresses.parquet"),
        (lambda: load_emoji("noto"), "emoji-noto.parquet"),
    ],
)
def test_an_altered_or_missing_table_says_how_to_mend_it(damaged, load, file):
    cure = "reinstall fmcourse (from a clone: git checkout fmcourse/bundled)"
    with says(OSError, f"bundled file {file} is missing or altered; {cure}"):
        load()


def test_a_missing_model_says_how_to_mend_it(damaged):
    with pytest.raises(
        OSError, match=r"^bundled file ladder-small/\S+ is missing or altered; reinstall fmcourse"
    ):
        load_gpt_neo("ladder-small")
