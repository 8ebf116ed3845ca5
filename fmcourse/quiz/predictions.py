"""A prediction is written down before the run, and marked in the figure after it. Every notebook
asks a few.

The questions stand in :mod:`fmcourse.quiz.questions`. Answers are kept per course run: all that
were given with less than eight hours between one and the next, up to now, so that a lunch break
does no harm and a former class is not shown. Where a kernel finds earlier answers of the run, it
says so.
"""

import datetime
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from IPython.display import display
from matplotlib.ticker import MaxNLocator

from fmcourse.arguments import choose
from fmcourse.plots import Drawing, finish, new_axes
from fmcourse.quiz import codes as class_codes
from fmcourse.quiz import kept
from fmcourse.quiz.questions import QUESTIONS, Question
from fmcourse.quiz.reading import is_open, read
from fmcourse.runtime import state_folder, work_folder

KIND = "predictions"
# An answer, and the value of FMCOURSE_PREDICTIONS that skips all: figures without predictions.
SKIP = "skip"
PAUSE = datetime.timedelta(hours=8)

# State folders whose earlier answers were announced by this kernel.
_announced: set[Path] = set()


def predict(name: str, answer) -> None:
    """Write down a prediction; what cannot be one gets a sentence, not an error.

    Args:
        name: one of :data:`fmcourse.quiz.questions.QUESTIONS`.
        answer: one of the question's choices, or a number with or without its unit, such as 60,
            "60%" or "100,000". ``...``, None and an empty text mean none yet; "skip" means none,
            and shows the figure all the same.

    Raises:
        ValueError: an unknown name.
    """
    question = QUESTIONS[choose("name", name, QUESTIONS)]
    earlier = _answers().get(name)
    if earlier and "measured" in earlier:
        print(f"This is revealed and locked: {_said(question, earlier)}.")
        print(f"To begin anew: predictions.clear({name!r})")
        return
    if is_open(answer):
        said = f"{_said(question, earlier)}, as before" if earlier else "not predicted yet"
        print(f'{said.capitalize()}. Write {question.allowed}; or "skip".')
        return
    value = None
    if not (isinstance(answer, str) and answer.strip().lower() == SKIP):
        try:
            value = read(question, answer)
        except ValueError as problem:
            print(f"Not written down. {problem}")
            return
    record = {"answer": value, "time": _now().isoformat()}
    kept.write(KIND, name, record)
    print(f"Written down: {_said(question, record)}.")


def recall(name: str) -> str | float | None:
    """Return the prediction that was written down, so that its error can be scored; None where
    there is none."""
    return _answers().get(choose("name", name, QUESTIONS), {}).get("answer")


def reveal(
    name: str,
    measured=None,
    *shown,
    start: float = 0.0,
    scale: float | None = 1.0,
    axis: str | None = None,
) -> None:
    """Show what came out, mark the prediction in it, and lock the prediction.

    Without a prediction one line says so, and nothing is shown; ``FMCOURSE_PREDICTIONS=skip`` shows
    all without predictions.

    Args:
        name: one of :data:`fmcourse.quiz.questions.QUESTIONS`.
        measured: what the notebook measured, of the question's kind and in its unit; an interval
            counts by its estimate. None means what an earlier reveal was given.
        shown: drawings, tables or texts. A number is marked in the first drawing.
        start, scale: an answer stands at ``start + scale * answer`` on that drawing's axis of
            values. A scale of None says that the drawing does not show the quantity; then the
            answer gets a line of its own, as it does without a drawing.
        axis: the axis of values, ``x`` or ``y``, where it is not the drawing's usual one.
    """
    question = QUESTIONS[choose("name", name, QUESTIONS)]
    record = _answers().get(name)
    if record is None and os.environ.get("FMCOURSE_PREDICTIONS") != SKIP:
        print('Predict first, or write "skip" as the prediction; then run this cell again.')
        return
    if measured is None:
        measured = (record or {}).get("measured")
    if measured is None:
        print("Nothing is measured yet: run the cells above this one.")
        return
    found = measured
    if question.choices:
        choose("measured", measured, question.choices)
    else:
        found = float(getattr(measured, "estimate", measured))
    answer = None
    if record:
        answer = record["answer"]
        kept.write(KIND, name, record | {"measured": found})
    things = list(shown)
    if answer is not None and not question.choices:
        label = f"your prediction: {question.shown(answer)}"
        drawn = [n for n, thing in enumerate(things) if isinstance(thing, Drawing) and thing.figure]
        if drawn and scale is not None:
            things[drawn[0]] = things[drawn[0]].marked(start + scale * answer, label, axis)
        else:
            things.insert(0, _line(question, found).marked(answer, label))
    for thing in things:
        print(thing) if isinstance(thing, str) else display(thing)
    print(_verdict(question, answer, found))


def clear(name: str | None = None) -> None:
    """Forget a prediction, or all of them, and what was revealed."""
    names = kept.read(KIND) if name is None else [choose("name", name, QUESTIONS)]
    for each in names:
        kept.clear(KIND, each)


def keep_on_drive(wanted: bool = True) -> None:
    """Keep predictions, and all else that is kept between sessions, on Google Drive from now on,
    when `wanted`.

    Where Drive cannot be mounted, a sentence says so and all stays where it is.
    """
    if not wanted:
        return
    here = _answers()
    os.environ["FMCOURSE_STATE"] = str(work_folder(wanted))
    there = _answers()
    for name, record in here.items():
        if name not in there:
            kept.write(KIND, name, record)


def export() -> str:
    """Return this run's predictions as a short code without personal data, for :func:`tally`;
    without any, an empty text."""
    answers = {name: record["answer"] for name, record in _answers().items()}
    given = {name: answer for name, answer in answers.items() if answer is not None}
    return class_codes.encode(given) if given else ""


def tally(codes: str | Sequence[str]) -> None:
    """Draw what a class predicted, with the measured value where it was revealed here.

    Args:
        codes: the codes of :func:`export`, as a list or in a pasted text. Unreadable ones are
            counted and named.
    """
    if isinstance(codes, str):
        # Names and remarks between the codes are shorter, or have no hyphen.
        codes = [word for word in re.split(r"[\s,;]+", codes) if "-" in word and len(word) >= 12]
    sheets, bad = [], []
    for code in map(str, codes):
        try:
            sheets.append(class_codes.decode(code))
        except ValueError:
            bad.append(code)
    unread = f" Not readable: {', '.join(bad)}." if bad else ""
    print(f"{len(sheets)} of {len(codes)} codes read.{unread}")
    for name, question in QUESTIONS.items():
        answers = [sheet[name] for sheet in sheets if question.allows(sheet.get(name))]
        if answers:
            display(_histogram(question, answers, _answers().get(name, {}).get("measured")))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _answers() -> dict[str, dict]:
    """Return the records of this run, the newest first."""
    records = {name: record for name, record in kept.read(KIND).items() if _is_sound(name, record)}
    found = {}
    edge = _now()
    for name in sorted(records, key=lambda each: records[each]["time"], reverse=True):
        moment = datetime.datetime.fromisoformat(records[name]["time"])
        if edge - moment > PAUSE:
            break
        found[name], edge = records[name], moment
    if found and state_folder() not in _announced:
        print(f"Predictions kept: {len(found)}, the first from {edge.astimezone():%H:%M}.")
        print("If they are not yours: predictions.clear()")
    _announced.add(state_folder())
    return found


def _is_sound(name: str, record: dict) -> bool:
    """Return whether a record is one of ours: files can be edited, and questions change."""
    try:
        datetime.datetime.fromisoformat(record["time"]) - _now()
        return record["answer"] is None or QUESTIONS[name].allows(record["answer"])
    except (KeyError, TypeError, ValueError):
        return False


def _said(question: Question, record: dict) -> str:
    answer = record["answer"]
    return "skipped" if answer is None else f"your prediction is {question.shown(answer)}"


def _verdict(question: Question, answer, measured) -> str:
    out = f"Measured: {question.shown(measured)}."
    if answer is None or measured != measured:
        return out
    is_right = question.shown(answer) == question.shown(measured)
    said = f"You predicted {question.shown(answer)}. {out}"
    if is_right or question.choices:
        return f"{said} That is {'' if is_right else 'not '}what you predicted."
    by = f"{abs(answer - measured):.3g} {'points' if question.unit == '%' else question.unit}"
    if question.wide and measured > 0:
        by = f"a factor of {max(answer, measured) / min(answer, measured):,.3g}"
    return f"{said} Your prediction is too {'high' if answer > measured else 'low'}, by {by}."


def _line(question: Question, measured: float) -> Drawing:
    """Draw the measured value on an axis of its own."""
    figure, axes = new_axes(height=1.5)
    if question.wide:
        axes.set_xscale("log")
    else:
        axes.set_xlim(question.low, question.high)
    axes.plot(measured, 0, "o", color="black")
    axes.set_yticks([0], ["measured"])
    alt = f"Prediction and measurement on a line. Measured: {question.shown(measured)}."
    return finish(figure, axes, "Prediction and measurement", question.unit, "", alt)


def _histogram(question: Question, answers: list, measured) -> Drawing:
    """Draw bars for choices, or a histogram of numbers, with the measured value."""
    figure, axes = new_axes()
    title = textwrap.fill(question.text, 72)
    count = f"{len(answers)} predictions"
    if question.choices:
        counts = {}
        for choice in question.choices:
            label = f"{choice} (measured)" if choice == measured else choice
            counts[label] = answers.count(choice)
        axes.barh(list(counts), list(counts.values()), color="#0072B2")
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        said = "; ".join(f"{label} {number}" for label, number in counts.items())
        return finish(figure, axes, title, count, "", f"{question.text} {count}: {said}.")
    edges = np.histogram_bin_edges(np.log10(answers) if question.wide else answers, "sturges")
    if question.wide:
        axes.set_xscale("log")
        edges = 10**edges
    axes.hist(answers, edges.tolist(), color="#0072B2", edgecolor="white")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    spread = f"from {question.shown(min(answers))} to {question.shown(max(answers))}"
    alt = f"{question.text} {count} {spread}, the middle one {question.shown(np.median(answers))}."
    drawing = finish(figure, axes, title, question.unit, count, alt)
    if measured is None:
        return drawing
    return drawing.marked(measured, f"measured: {question.shown(measured)}", "x")
