"""Bundled models and tables load by name, offline; what cannot be had is said in one sentence."""

from __future__ import annotations

import collections

import pytest
import torch
from doubles import forget_bundle, says

from fmcourse import bundle, environment, hub
from fmcourse.hub import LADDER, STYLES, held_out, load_addresses, load_adult, load_emoji, load_gpt_neo

MILLIONS = {"ladder-small": 0.1, "ladder-medium": 0.5, "ladder-large": 2.0}
STYLE_LIST = ", ".join(map(repr, STYLES))
EMOJI_COLUMNS = ["image", "name", "keywords", "group", "subgroup", "style", "skin_tone", "gender", "codepoints"]
ADDRESS_COLUMNS = ["address", "year", "date", "president", "party", "delivery", "annual", "split", "text"]
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
    assert MILLIONS[name] / 1.5 <= size <= MILLIONS[name] * 1.5  # "about": nearer to its own rung than to another


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
    assert large < medium < small < 3  # three bits a byte is about what single-letter frequencies of English need


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


def test_a_clip_of_the_hub_offline_gives_one_sentence_and_the_bundled_model(offline, clips, capsys):
    model, _ = hub.load_clip("openai/clip-vit-base-patch32")
    captured = capsys.readouterr()
    start, end = "openai/clip-vit-base-patch32 could not be loaded from the hub (", "); going on with the bundled emoji-clip.\n"
    assert captured.out.startswith(start) and captured.out.endswith(end) and captured.out.count("\n") == 1
    assert model.num_parameters() == clips["emoji-clip"][0].num_parameters()


def test_an_unknown_clip_lists_what_there_is():
    with says(ValueError, "name: expected one of 'emoji-clip', 'sweep-clip', got 'emoji-clp'; did you mean 'emoji-clip'?"):
        hub.load_clip("emoji-clp")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def fallback(name, reason, printed):
    """The one sentence of a hub that cannot be had, with a reason that the hub's own library words."""
    start, end = f"{name} could not be loaded from the hub (", "); going on with the bundled ladder-large.\n"
    assert printed.startswith(start) and printed.endswith(end)
    assert reason in printed and printed.count("\n") == 1


def test_a_hub_name_offline_gives_one_sentence_and_the_bundled_model(offline, ladder, capsys):
    model, tokenizer = load_gpt_neo("EleutherAI/gpt-neo-125m")
    captured = capsys.readouterr()
    fallback("EleutherAI/gpt-neo-125m", "connect", captured.out)
    assert captured.err == ""
    assert all(map(torch.equal, model.parameters(), ladder["ladder-large"][0].parameters()))
    assert len(tokenizer) == len(ladder["ladder-large"][1])


def test_the_full_profile_offline_says_the_same(offline, monkeypatch, ladder, capsys):
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")
    model, _ = load_gpt_neo()
    fallback("EleutherAI/gpt-neo-125m", "connect", capsys.readouterr().out)
    assert model.num_parameters() == ladder["ladder-large"][0].num_parameters()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError("no such model\nand much more"), "(no such model)"), (ConnectionError("  "), "(ConnectionError)")],
    ids=["two lines", "no words"],
)
def test_of_a_long_reason_the_first_line_is_shown(monkeypatch, capsys, error, reason):
    loaded = hub._gpt_neo

    def gone(source):
        if source == "owner/gone":
            raise error
        return loaded(source)

    monkeypatch.setattr(hub, "_gpt_neo", gone)
    load_gpt_neo("owner/gone")
    fallback("owner/gone", reason, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ladder-larg", "; did you mean 'ladder-large'?"), ("gpt2", ""), ("ladder-small ", "; did you mean 'ladder-small'?")],
)
def test_a_wrong_name_lists_the_choices(name, hint):
    with says(ValueError, f"name: expected one of 'ladder-small', 'ladder-medium', 'ladder-large', got {name!r}{hint}"):
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
    assert all(str(row["date"])[:4] == str(row["year"]) for row in addresses.select_columns(["date", "year"]))


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
    assert image.getbbox() is not None and image.getextrema()[3] != (255, 255)  # something is drawn, on nothing


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
        ("twemojo", f"styles: expected one of {STYLE_LIST}, got 'twemojo'; did you mean 'twemoji'?"),
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
    (tmp_path / "adult.parquet").write_bytes((bundle.BUNDLED / "adult.parquet").read_bytes()[:-1] + b"x")
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
    with pytest.raises(OSError, match=r"^bundled file ladder-small/\S+ is missing or altered; reinstall fmcourse"):
        load_gpt_neo("ladder-small")
