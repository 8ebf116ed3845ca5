"""The recipes keep their promises: a ladder whose training broke off ends in the same file, and its figures hold."""

from __future__ import annotations

import lzma

import pytest

from fmcourse import generation, hub

PROMISED = 1.35  # bits per byte of the largest rung on whole test addresses


@pytest.fixture
def ladder(monkeypatch, tmp_path):
    """The ladder's recipe at a size that trains in seconds, writing into a folder of the test's own."""
    from recipes import ladder

    monkeypatch.setattr(ladder, "STEPS", 6)
    monkeypatch.setattr(ladder, "LANDING", 2)
    monkeypatch.setattr(ladder, "MEASURED", 600)
    monkeypatch.setattr(ladder, "register", lambda *file, **entry: None)

    def into(name):
        monkeypatch.setattr(ladder, "BUNDLED", tmp_path / name)
        monkeypatch.setattr(ladder, "work_folder", lambda recipe: tmp_path / f"work-{name}")
        (tmp_path / f"work-{name}").mkdir(exist_ok=True)

    ladder.into = into
    yield ladder
    del ladder.into


def weights(folder) -> bytes:
    return (folder / "ladder-small" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_ladder_that_broke_off_ends_in_the_same_file(ladder, monkeypatch, tmp_path):
    ladder.into("whole")
    ladder.make("small", **ladder.SIZES["small"])
    ladder.into("broken")
    calls, take = [], ladder.training._step

    def interrupted(plan, state):
        calls.append(state.step)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return take(plan, state)

    monkeypatch.setattr(ladder.training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ladder.make("small", **ladder.SIZES["small"])
    assert not (tmp_path / "broken" / "ladder-small").exists()
    ladder.make("small", **ladder.SIZES["small"])
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    assert len(calls) == 4 + 3  # three steps were kept, the fourth was asked for again


@pytest.mark.slow
def test_bits_per_byte_fall_with_size_to_the_promise():
    texts = [row["text"] for row in hub.load_addresses() if row["split"] == "test"]
    sizes = [len(text.encode()) for text in texts]
    found = []
    for name in hub.LADDER:
        model, tokenizer = hub.load_gpt_neo(name)
        bits = [
            size * generation.bits_per_byte(model, tokenizer, text)
            for size, text in zip(sizes, texts)
        ]
        found.append(sum(bits) / sum(sizes))
    whole = "\n\n".join(texts).encode()
    assert 8 * len(lzma.compress(whole, preset=9)) / len(whole) > found[0] > found[1] > found[2]
    assert found[2] <= PROMISED
