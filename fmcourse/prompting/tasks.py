"""The five tasks of notebook 07, whose items stand in ``tasks.toml``, and samples of examples."""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fmcourse.arguments import choose, require, whole
from fmcourse.files import read_toml

Pair = tuple[str, str]


@dataclass(frozen=True)
class Task:
    """A task of short questions with short answers.

    Attributes:
        named: a template that names the rule, such as ``The plural of {question} is {answer}``.
        chat: a question in words, with a slot ``{question}``.
        examples: pairs of question and answer that are only shown.
        questions: questions that are only asked, each with its accepted answers; the first is the
            usual one.
    """

    named: str
    chat: str
    examples: list[Pair]
    questions: dict[str, list[str]]


def task_names() -> list[str]:
    """Return the names of the tasks."""
    return list(_content()["task"])


def load_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ValueError: an unknown name.
    """
    content = _content()["task"][choose("name", name, task_names())]
    return Task(**content | {"examples": list(content["examples"].items())})


def invented_countries() -> list[str]:
    """Return names of countries that do not exist."""
    return _content()["invented"]["countries"]


def sample_examples(task: Task, count: int, seed: int, shuffled: bool = False) -> list[Pair]:
    """Sample examples of a task, in random order; a smaller sample is the beginning of a larger.

    Where answers are few, as the three kinds are, each comes about equally often.

    Args:
        task: a task of :func:`load_task`.
        count: how many, from 0 to all.
        seed: of the sample and of the shuffling.
        shuffled: whether the answers are dealt out anew, so that every example has a wrong one.

    Raises:
        ValueError: more examples than there are, or one example to shuffle.
    """
    whole("count", count, 0, len(task.examples))
    require(not (shuffled and count == 1), "count", "at least 2 to shuffle", count)
    random = np.random.default_rng(seed)
    pairs = pd.DataFrame(task.examples, columns=["question", "answer"])
    pairs = pairs.iloc[random.permutation(len(pairs))]
    # First one example of each answer, then a second of each.
    turns = pairs.groupby("answer").cumcount()
    chosen = pairs.iloc[turns.argsort(kind="stable")[:count]]
    right = np.array(chosen["answer"].tolist())
    answers = random.permutation(right) if shuffled else right
    while shuffled and (answers == right).any():
        answers = random.permutation(right)
    return list(zip(chosen["question"].tolist(), answers.tolist()))


@functools.cache
def _content() -> dict:
    return read_toml("prompting/tasks.toml")
