"""Right answers pass in any form, wrong ones hear what is wrong, the notebooks' solutions pass."""

from __future__ import annotations

import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from fmcourse import stats
from fmcourse.quiz import exercises
from fmcourse.quiz.exercises import Exercise, all_exercises, check
from tools.answers import answers

EXERCISES = all_exercises()
NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
IMPORT = re.compile(r"^(?:import|from) [^(\n]*(?:\([^)]*\))?", re.MULTILINE)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def first_try(monkeypatch):
    """Let nobody have tried anything yet, and add an exercise of our own."""
    monkeypatch.setattr(exercises, "_tries", exercises.Counter())
    double = Exercise(lambda x: 2 * x, {"squared": lambda x: x * x}, ((1.0,), (3.0,), (0.25,)))
    monkeypatch.setattr(exercises, "all_exercises", lambda: EXERCISES | {"double": double})
    texts = {"confirm": "Twice.", "mistakes": {"squared": "You square it."}}
    monkeypatch.setitem(exercises.TEXTS, "double", texts)


# A small exercise.


def test_a_choice_hears_of_its_options_only():
    said = [repr(check("missing-control", number)) for number in (0, -2, 200, 0.02, "2")]
    assert all("Choose one of 1, 2, 3, 4." in each for each in said[:4])
    assert "text" in said[4]


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (lambda x: torch.tensor(2 * x, requires_grad=True), "right", "Twice."),
        (lambda x: torch.tensor(2.004 * x).bfloat16(), "right", "Twice."),
        (lambda x: stats.Interval(2 * x, 0, 9), "right", "Twice."),
        (lambda x: x**2, "misconception", "You square it."),
        (lambda x: 200 * x, "misconception", "percent"),
        (lambda x: 1 - 2 * x, "misconception", "one minus"),
        (lambda x: [2 * x], "misconception", "shape (1,)"),
        (lambda x: None, "misconception", "return"),
        (lambda x: 2 * x if x < 2 else math.nan, "misconception", "nan"),
        (lambda x: 2 * x if x < 2 else 7.0, "wrong", "right in 2 of 3 cases. For (3.) it gives 7."),
        (lambda: 2, "error", "parameters"),
        (lambda x: ..., "not attempted", "three dots"),
        (..., "not attempted", "three dots"),
        (6, "error", "without parentheses; got 6"),
    ],
)
def test_what_an_answer_hears(answer, status, words):
    verdict = check("double", answer)
    assert verdict.status == status and words in repr(verdict)


def test_the_right_value_is_told_from_the_third_try_on_only():
    said = [repr(check("double", lambda x: 3 * x)) for _ in range(3)]
    assert ["answer is 2." in each for each in said] == [False, False, True]
    assert check("double", lambda x: 2 * x).status == "right"
    assert "answer is" not in repr(check("double", lambda x: 3 * x))
    with pytest.raises(ValueError, match=r"did you mean .double."):
        check("duoble", ...)


# What Python says of common slips is put into words.


def no_parentheses(old, new, labels):
    return (old == labels & new != labels).mean()


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("negative-flips", no_parentheses, "parentheses"),
        ("shared-targets", lambda ids: ids / statistics.mean(ids), "not imported"),  # noqa: F821
        ("training-bug", lambda w, batches, lr: w.requires_grad_().numpy(), ".detach()"),
        ("breakthroughness", lambda score: score[score > 2][0], "An index"),
    ],
)
def test_an_error_is_put_into_words(name, answer, words):
    verdict = check(name, answer)
    assert verdict.status == "error" and words in verdict.message


# Right answers in other forms, and wrong ones that passed before.


def top_k_with(fill):
    return lambda logits, k: logits.masked_fill(logits < logits.topk(k).values[-1], fill)


RIGHT = [
    ("top-k", top_k_with(-1e9)),
    ("top-k", lambda logits, k: top_k_with(-math.inf)(logits, k).tolist()),
    ("mutual-nearest", lambda cosines: set(EXERCISES["mutual-nearest"].reference(cosines))),
    ("honest-alpha", lambda c, r: list(r[sorted(c, key=lambda alpha: sum(c[alpha]))[-1]])),
    ("ship", torch.tensor(3)),
    ("negative-flips", lambda o, n, y: np.mean([a == c != b for a, b, c in zip(o, n, y)])),
    ("none-in-ten", np.float32(0.28)),
    ("cache-size", 8.1e8),
]
WRONG = [
    ("top-k", top_k_with(-10)),
    ("systemic-failure", lambda failures: failures[:, :2].all(axis=1).mean()),
    *(("ship", value) for value in (0, "3", None)),
    ("worst-group", lambda f, g: f[g == g[0]].mean(0).prod() / f.mean(0).prod()),
    ("none-of-n", lambda items: stats.wilson(0, items)),
    ("none-in-ten", 0.26),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT + WRONG, ids=lambda part: str(part)[:20])
def test_other_forms_of_right_answers_pass_and_plausible_wrong_ones_do_not(name, answer):
    is_right = any(answer is known for _, known in RIGHT)
    assert (check(name, answer).status == "right") == is_right


# The course's exercises.


@pytest.mark.parametrize("name", EXERCISES)
def test_each_exercise_knows_its_answers_and_their_texts(name):
    exercise, texts = EXERCISES[name], exercises.TEXTS[name]
    assert set(texts["mistakes"]) == set(exercise.mistakes) and len(exercise.mistakes) >= 2
    assert exercise.cases or texts["hint"]
    assert check(name, exercise.reference).message == f"Right. {texts['confirm']}"
    for mistake, other in exercise.mistakes.items():
        assert f"Not yet. {texts['mistakes'][mistake]}" in check(name, other).message


def test_progress_is_kept_and_shown(capsys):
    check("temperature", EXERCISES["temperature"].reference)
    check("top-k", lambda logits, k: logits)
    exercises.progress()
    out = capsys.readouterr().out
    assert re.search(r"04: 1 of 6 done; open: top-k, ", out) and "06: 0 of 5" in out


# The notebooks: stubs, and solutions folded below them.


POSED = []
for path in NOTEBOOKS:
    notebook = nbformat.read(path, as_version=4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    imports = IMPORT.findall("\n".join(sources))
    stubs = [source for source in sources if "exercises.check(" in source]
    for stub, solution in zip(stubs, answers(notebook), strict=True):
        POSED.append(("\n".join(imports), stub, CODE.findall(solution)[-1]))


@pytest.mark.parametrize(("imports", "stub", "solution"), POSED)
def test_a_stub_is_not_attempted_and_its_solution_is_right(imports, stub, solution, monkeypatch):
    said = []
    monkeypatch.setattr(exercises, "check", lambda *given: said.append(check(*given).status))
    call = stub.strip().splitlines()[-1]
    exec("\n".join([imports, stub, solution, call]), {})
    assert (said[0], said[-1]) == ("not attempted", "right")


def test_each_exercise_is_posed_in_exactly_one_notebook():
    names = [re.search(r"check\(\s*\"([\w-]+)\"", stub)[1] for _, stub, _ in POSED]
    assert sorted(names) == sorted(EXERCISES)
