"""Prompts, answers and samples of examples, and what is read from stored answers."""

from __future__ import annotations

import collections

import numpy as np
import pandas as pd
import pytest
import torch

from fmcourse import generation, models, prompting

NAMES = prompting.task_names()


@pytest.fixture(scope="module")
def small():
    return models.load_gpt_neo("ladder-small")


def table_of(rows):
    columns = ["task", "way", "seed", "question", "right"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("name", NAMES)
def test_every_item_of_a_task_stands_there_once(name):
    task = prompting.load_task(name)
    words = [question for question, _ in task.examples] + list(task.questions)
    assert len(words) == len(set(words)) == 96 and len(task.questions) == 60
    said = [answer for _, answer in task.examples]
    said += [answer for answers in task.questions.values() for answer in answers]
    assert all(text and text == text.strip() for text in words + said)
    assert task.named.endswith("{answer}") and "{question}" in task.chat


def test_invented_countries_are_no_countries_of_the_tasks():
    task, invented = prompting.load_task("capital"), prompting.invented_countries()
    assert len(invented) == len(set(invented)) == 30
    assert not set(invented) & {*task.questions, *dict(task.examples)}


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_nested_and_shuffled_answers_are_all_wrong(name):
    task = prompting.load_task(name)
    right = prompting.sample_examples(task, 16, seed=3)
    assert prompting.sample_examples(task, 4, seed=3) == right[:4]
    assert set(right) <= set(task.examples) and right != prompting.sample_examples(task, 16, 4)
    wrong = prompting.sample_examples(task, 16, seed=3, shuffled=True)
    assert [question for question, _ in wrong] == [question for question, _ in right]
    assert sorted(answer for _, answer in wrong) == sorted(answer for _, answer in right)
    assert all(one != other for (_, one), (_, other) in zip(right, wrong))


def test_kinds_come_about_equally_often():
    examples = prompting.sample_examples(prompting.load_task("kind"), 16, seed=0)
    assert sorted(collections.Counter(kind for _, kind in examples).values()) == [5, 5, 6]


@pytest.mark.parametrize("before", ["", "The Congress -> met\nThe Senate -> sat\n"])
def test_answers_are_those_of_greedy_decoding_question_by_question(small, before):
    model, tokenizer = small
    questions = ["The war", "Peace and commerce with foreign nations", "I"]
    found = prompting.ask(model, tokenizer, before, questions, new_tokens=6)
    for question, answer, probability in found.itertuples(index=False):
        ids = tokenizer(f"{before}{question} ->", return_tensors="pt")["input_ids"]
        written = generation.generate(model, ids, generation.Greedy(), 6)[0, ids.shape[1] :]
        text = tokenizer.decode(written, skip_special_tokens=True)
        assert answer == text.partition("\n")[0].strip()
        assert 0 < probability < 1


def test_probability_is_that_of_the_tokens_up_to_the_lines_end(small):
    model, tokenizer = small
    (probability,) = prompting.ask(model, tokenizer, "", ["The"], new_tokens=1)["probability"]
    logits = generation.next_logits(model, tokenizer, "The ->")
    assert probability == pytest.approx(float(logits.softmax(-1).max()), rel=1e-4)


def test_a_text_too_long_for_the_context_loses_its_beginning(small):
    model, tokenizer = small
    found = [
        prompting.ask(model, tokenizer, "the people " * count, ["We"])["answer"][0]
        for count in (300, 400)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda task: prompting.sample_examples(task, 99, 0), "count"),
        (lambda task: prompting.sample_examples(task, 1, 0, shuffled=True), "at least 2"),
        (lambda task: prompting.load_task("sum"), "capital"),
        (lambda task: prompting.ask(None, None, "", []), "at least one question"),
    ],
)
def test_what_cannot_be_done_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(prompting.load_task("kind"))


def test_accuracies_and_differences_are_paired_by_sample_and_question():
    rows = [
        ["a", way, seed, question, (way == "x") == (question < seed + 2)]
        for way in ("x", "y")
        for seed in (0, 1, 2)
        for question in range(4)
    ]
    table = table_of(rows)
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
    values, right = torch.tensor([0.9, 0.5, 0.7, 0.1]), [True, True, False, False]
    assert prompting.cut_off(values, right, 0.34) == pytest.approx(0.5)
    assert prompting.cut_off(values, right, 0.0) == pytest.approx(0.9)
    assert prompting.cut_off([0.2], [False], 0.5) == float("inf")
