"""Right answers pass, stubs are not attempted, each misconception hears its own message; the notebooks' solutions are right."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import torch
from doubles import says

from fmcourse import exercises
from fmcourse.exercises import Exercise, Misconception, Verdict, all_exercises, check

EXERCISES = all_exercises()
FUNCTIONS = [name for name, exercise in EXERCISES.items() if exercise.cases is not None]
VALUES = [name for name, exercise in EXERCISES.items() if exercise.cases is None]
MISTAKES = [
    (name, place)
    for name, exercise in EXERCISES.items()
    for place in range(len(exercise.misconceptions))
]
NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
FOLDED = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


# A small exercise, on paper.


@pytest.fixture
def doubling(monkeypatch):
    """Put two exercises of our own in the place of the course's."""
    ours = {
        "double": Exercise(
            reference=lambda x: 2 * x,
            cases=lambda: [(1.0,), (3.0,)],
            confirm="Twice.",
            misconceptions=(
                Misconception(lambda x: x * x, "You square it."),
                Misconception(lambda x: x + 1, "You add one."),
            ),
        ),
        "answer": Exercise(
            reference=42,
            confirm="Of course.",
            misconceptions=(Misconception(54, "That is six by nine."),),
        ),
        "in-place": Exercise(
            reference=lambda values, least: values.clamp(min=least),
            cases=lambda: (lambda shared: [(shared, 3.0), (shared, 1.0)])(torch.arange(5.0)),
            confirm="",
            misconceptions=(),
        ),
    }
    monkeypatch.setattr(exercises, "all_exercises", lambda: ours)


UNTOUCHED = "not attempted yet. Replace the three dots, then run the cell again."
WRONG_AT_3 = Verdict("wrong", "Not yet. For (3.0) your function gives 7.0; expected 6.0.")


def gives(*outcomes):
    left = list(outcomes)
    return lambda x: left.pop(0)


@pytest.mark.parametrize(
    ("name", "answer", "verdict"),
    [
        ("double", lambda x: x + x, Verdict("right", "Right. Twice.")),
        ("double", lambda x: x**2, Verdict("misconception", "Not yet. You square it.")),
        ("double", lambda x: 1 + x, Verdict("misconception", "Not yet. You add one.")),
        ("double", lambda x: 2 * x if x < 2 else 7.0, WRONG_AT_3),
        (
            "double",
            lambda x: None,
            Verdict("wrong", "Not yet. For (1.0) your function gives None; expected 2.0."),
        ),
        (
            "double",
            lambda x: 1 / 0,
            Verdict("error", "Your function stopped with ZeroDivisionError: division by zero"),
        ),
        ("double", lambda x: ..., Verdict("not attempted", f"double: {UNTOUCHED}")),
        ("double", ..., Verdict("not attempted", f"double: {UNTOUCHED}")),
        ("answer", 42, Verdict("right", "Right. Of course.")),
        ("answer", 42.0, Verdict("right", "Right. Of course.")),
        ("answer", 54, Verdict("misconception", "Not yet. That is six by nine.")),
        ("answer", 7, Verdict("wrong", "Not yet: 7 is not it. Read the hint, and check the unit.")),
        (
            "answer",
            "many",
            Verdict("wrong", "Not yet: 'many' is not it. Read the hint, and check the unit."),
        ),
        ("answer", ..., Verdict("not attempted", f"answer: {UNTOUCHED}")),
    ],
)
def test_a_verdict_on_paper(doubling, name, answer, verdict):
    found = check(name, answer)
    assert found == verdict
    assert repr(found) == verdict.message


@pytest.mark.parametrize("answer", [6, "x * 2", None, [2.0, 6.0]])
def test_a_value_where_a_function_is_wanted(doubling, answer):
    found = check("double", answer)
    assert found.status == "error" and f"a function is wanted, got {answer!r}" in found.message


def test_the_tolerance_is_about_rounding_only(doubling):
    assert check("double", lambda x: 2 * x * (1 + 1e-7)).status == "right"  # fp32 rounds at 6e-8
    assert check("double", lambda x: 2 * x * (1 + 1e-3)).status == "wrong"


def test_a_function_that_is_right_once_is_not_right(doubling):
    assert check("double", gives(2.0, 2.0)).status == "wrong"
    assert check("double", gives(2.0, 6.0)).status == "right"


def test_another_kind_of_number_is_as_good(doubling):
    assert check("double", lambda x: torch.tensor(2 * x)).status == "right"


def test_another_shape_is_not(doubling):
    assert check("double", lambda x: [2 * x]).status == "wrong"


def test_a_right_function_may_change_its_argument(doubling):
    assert check("in-place", lambda values, least: values.clamp_(min=least)).status == "right"


def test_an_unknown_exercise(doubling):
    with says(
        ValueError,
        "name: expected one of 'double', 'answer', 'in-place', got 'duoble'; did you mean 'double'?",
    ):
        check("duoble", ...)


# The course's exercises.


def stub(*given):
    return ...


def nonsense(*given):
    return "nonsense"


def failing(*given):
    raise RuntimeError("stuck")


def test_there_are_exercises_of_both_kinds():
    assert FUNCTIONS and VALUES and MISTAKES


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_right(name):
    exercise = EXERCISES[name]
    verdict = check(name, exercise.reference)
    assert verdict == Verdict("right", f"Right. {exercise.confirm}") and exercise.confirm


@pytest.mark.parametrize("name", EXERCISES)
def test_three_dots_are_not_attempted(name):
    for answer in (..., stub) if name in FUNCTIONS else (...,):
        assert check(name, answer).status == "not attempted"


@pytest.mark.parametrize(("name", "place"), MISTAKES)
def test_each_misconception_hears_its_own_message(name, place):
    mistake = EXERCISES[name].misconceptions[place]
    assert check(name, mistake.answer) == Verdict("misconception", f"Not yet. {mistake.message}")


@pytest.mark.parametrize("name", EXERCISES)
def test_the_messages_are_all_different(name):
    messages = [mistake.message for mistake in EXERCISES[name].misconceptions]
    assert len(set(messages)) == len(messages) >= 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_fails_is_an_error(name):
    assert check(name, failing) == Verdict(
        "error", "Your function stopped with RuntimeError: stuck"
    )
    assert check(name, lambda: None).status == "error"  # too few parameters


@pytest.mark.parametrize("name", EXERCISES)
def test_something_else_is_wrong(name):
    assert check(name, nonsense if name in FUNCTIONS else "nonsense").status == "wrong"
    assert check(name, (lambda *given: -12.5) if name in FUNCTIONS else -12.5).status == "wrong"
    assert check(name, (lambda *given: None) if name in FUNCTIONS else None).status == "wrong"


@pytest.mark.parametrize("name", EXERCISES)
def test_checking_twice_gives_the_same(name):
    assert check(name, EXERCISES[name].reference) == check(name, EXERCISES[name].reference)


def test_top_k_may_be_solved_in_place():
    def in_place(logits, k):
        logits[logits < logits.topk(k).values[-1]] = float("-inf")
        return logits

    assert check("top-k", in_place).status == "right"


# The notebooks: stubs, and solutions folded below them.


def cells(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])


def checked_names(source):
    """Return the names of the exercises that a cell checks."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.args[0].value
        for call in calls
        if ast.unparse(call.func).split(".")[-1] == "check" and len(call.args) == 2
    ]


def posed(path):
    """Return (name, stub, solution) of each exercise of a notebook; the solution is the next one folded in prose."""
    found = []
    for kind, source, tags in cells(path):
        if kind == "code" and "exercise" in tags:
            found += [[name, source, None] for name in checked_names(source)]
        elif kind == "markdown" and found and found[-1][2] is None:
            folded = FOLDED.search(source)
            found[-1][2] = folded and folded.group(1)
    return found


POSED = [(path.stem, *exercise) for path in NOTEBOOKS for exercise in posed(path)]


def imports_of(notebook):
    """Return the import lines of a notebook: what a solution may rely on."""
    path = next(path for path in NOTEBOOKS if path.stem == notebook)
    code = [
        line for kind, source, _ in cells(path) if kind == "code" for line in source.splitlines()
    ]
    return "\n".join(line for line in code if re.match(r"(import|from) ", line))


def verdict_of(notebook, source):
    """Run the cell after the notebook's imports, and return what its last line gives."""
    namespace: dict = {}
    exec(compile(imports_of(notebook), notebook, "exec"), namespace)
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), notebook, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), notebook, "eval"), namespace)


@pytest.mark.parametrize(
    ("notebook", "name", "stub", "solution"), POSED, ids=[f"{p[0]}-{p[1]}" for p in POSED]
)
def test_a_stub_of_a_notebook_is_not_attempted_and_its_solution_is_right(
    notebook, name, stub, solution
):
    assert verdict_of(notebook, stub).status == "not attempted"
    assert solution, f"{notebook}: no solution is folded below the exercise {name}"
    assert checked_names(solution) in ([], [name])
    call = "" if checked_names(solution) else "\n" + stub.strip().splitlines()[-1]
    assert verdict_of(notebook, solution + call).status == "right"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_cell_tagged_as_exercise_checks_one(path):
    for kind, source, tags in cells(path):
        if "exercise" in tags:
            assert kind == "code" and len(checked_names(source)) == 1, source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_cell_that_checks_is_tagged(path):
    untagged = [
        source for kind, source, tags in cells(path) if kind == "code" and "exercise" not in tags
    ]
    assert [source for source in untagged if re.search(r"\bcheck\(", source)] == []


def test_each_exercise_is_posed_in_exactly_one_notebook():
    assert sorted(name for _, name, _, _ in POSED) == sorted(EXERCISES)
