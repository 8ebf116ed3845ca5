"""Prompts, answers and samples of examples, and what is read from stored answers."""

import collections

import numpy as np
import pandas as pd
import pytest
from doubles import refusals

from fmcourse import generation, models, prompting

NAMES = prompting.task_names()


@pytest.fixture(scope="module")
def small():
    return models.load_gpt_neo("ladder-small")


def test_every_item_of_a_task_stands_there_once():
    for name in NAMES:
        task = prompting.load_task(name)
        words = {*dict(task.examples), *task.questions}
        assert len(words) == 96 and len(task.questions) == 60 and all(task.questions.values())
        assert task.named.endswith("{answer}") and "{question}" in task.chat
    capital, invented = prompting.load_task("capital"), set(prompting.invented_countries())
    assert len(invented) == 30 and not invented & {*capital.questions, *dict(capital.examples)}


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_nested_and_shuffled_answers_are_all_wrong(name):
    task = prompting.load_task(name)
    right = prompting.sample_examples(task, 16, seed=3)
    assert prompting.sample_examples(task, 4, seed=3) == right[:4]
    assert set(right) <= set(task.examples) and right != prompting.sample_examples(task, 16, 4)
    wrong = prompting.sample_examples(task, 16, seed=3, shuffled=True)
    pairs = list(zip(right, wrong))
    assert all(one[0] == other[0] and one[1] != other[1] for one, other in pairs)
    assert sorted(answer for _, answer in wrong) == sorted(answer for _, answer in right)
    if name == "kind":  # few answers: each comes about equally often
        assert sorted(collections.Counter(kind for _, kind in right).values()) == [5, 5, 6]


@pytest.mark.parametrize("before", ["", "The Congress -> met\nThe Senate -> sat\n"])
def test_answers_are_those_of_greedy_decoding_question_by_question(small, before):
    model, tokenizer = small
    questions = ["The war", "Peace and commerce with foreign nations", "I"]
    found = prompting.ask(model, tokenizer, before, questions, new_tokens=6)
    for question, answer, probability in found.itertuples(index=False):
        ids = tokenizer(f"{before}{question} ->")["input_ids"]
        written = generation.generate(model, ids, generation.Greedy(), 6)[0]
        text = tokenizer.decode(written[len(ids) :], skip_special_tokens=True)
        assert answer == text.partition("\n")[0].strip()
        losses = generation.token_losses(model, written)[len(ids) - 1 :]
        pieces = [tokenizer.decode([token]) for token in written[len(ids) :]]
        # Up to the line's end, which counts.
        length = next((i for i, piece in enumerate(pieces, 1) if "\n" in piece), len(pieces))
        wanted = losses[:length].sum().neg().exp().item()
        assert probability == pytest.approx(wanted, rel=1e-3)


def test_a_text_too_long_for_the_context_loses_its_beginning(small):
    texts = ("the people " * count for count in (300, 400))
    found = [prompting.ask(*small, text, ["We"])["answer"][0] for text in texts]
    assert found[0] == found[1]


test_what_cannot_be_done_is_refused = refusals(
    ("count", prompting.sample_examples, prompting.load_task("kind"), 37, 0),
    ("count", prompting.sample_examples, prompting.load_task("kind"), 1, 0, True),
    ("questions", prompting.ask, None, None, "", []),
)


def test_accuracies_and_differences_are_paired_by_sample_and_question():
    rows = [
        ["a", way, seed, question, (way == "x") == (question < seed + 2)]
        for way in ("x", "y")
        for seed in (0, 1, 2)
        for question in range(4)
    ]
    table = pd.DataFrame(rows, columns=["task", "way", "seed", "question", "right"])
    assert prompting.accuracy(table, "a", way="x").estimate == pytest.approx(75)
    gap = prompting.accuracy_difference(table, "a", {"way": "x"}, {"way": "y"})
    assert gap.low < gap.estimate == pytest.approx(50)
    assert prompting.answers_right(table, "a", [0], way="x").tolist() == [[100], [100], [100]]
    single = prompting.accuracy(table[table["seed"] == 0], "a", way="x")
    assert single.estimate == 50 and single.low > 0


def test_best_and_worst_are_chosen_on_the_other_half():
    luck = np.zeros((2, 1, 4))
    luck[0, 0, ::2] = luck[1, 0, 1::2] = 100
    gaps, best, worst = prompting.best_and_worst(luck)
    assert gaps.mean() == -100 and best == [1, 0] and worst == [0, 1]


def test_the_cut_off_is_the_lowest_that_lets_few_wrong_answers_through():
    values, right = [0.9, 0.5, 0.7, 0.1], [True, True, False, False]
    found = [prompting.cut_off(values, right, most) for most in (0.34, 0.0)]
    assert found == [0.5, 0.9]
    assert prompting.cut_off([0.2], [False], 0.5) == float("inf")
