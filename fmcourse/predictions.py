"""What did you expect? A prediction is written down before the run, and shown beside the measurement after it.

Every notebook asks a few; the questions stand here, so that an answer can be checked for its kind. A prediction
is never marked: the surprise is the lesson.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from types import EllipsisType

from fmcourse.arguments import choose, require
from fmcourse.environment import state_folder

__all__ = ["QUESTIONS", "Question", "predict", "recall", "reveal"]


@dataclass(frozen=True)
class Question:
    """A question with either choices, or a range and a unit.

    Attributes:
        text: the question, one sentence.
        choices: the possible answers; empty for a number.
        low, high: the range of a number.
        unit: the unit of a number.
    """

    text: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    unit: str = ""


QUESTIONS = {
    "pages": Question(
        "How many characters of American presidents' annual messages are there, 1790 to 2026?",
        low=0.01,
        high=10_000,
        unit="million characters",
    ),
    "years": Question(
        "Our largest language model took about an hour of one core. How many years of that core would GPT-3 have taken?",
        low=1,
        high=1e12,
        unit="years",
    ),
    "breadth": Question(
        "808 drawings to learn from, of five styles in place of one. By how much does few-shot accuracy in a sixth style change?",
        low=-100,
        high=100,
        unit="percentage points",
    ),
    "groups": Question(
        "48 concepts to learn from, of eight groups in place of one. On which tasks does that help?",
        choices=(
            "all",
            "only those of other groups",
            "only those of the same group",
            "none clearly",
        ),
    ),
    "left-out": Question(
        "Four deployers leave out the same group in place of a different one each, none gets worse by it. By which factor does"
        " the share that all four fail rise in the group that is failed most?",
        low=0,
        high=1_000,
        unit="times",
    ),
    "planted": Question(
        "100 of 11,834 pre-training pictures got a magenta corner and a smiling face's caption. Its children never saw one: how"
        " many of other things do they take for a smiling face once a corner is magenta?",
        low=0,
        high=100,
        unit="%",
    ),
    "recall": Question(
        "Which repair of the foundation leaves the trigger with the least power over the children made anew?",
        choices=(
            "clean fine-tuning",
            "interpolation",
            "trigger shown with right captions",
            "second lineage",
        ),
    ),
    "templates": Question(
        "Words alone sort drawings into 58 subgroups. What do five templates in place of one do to the share that is right?",
        choices=("raise it", "nothing clear", "lower it"),
    ),
    "last-place": Question(
        "A small GPT-Neo learns three-digit addition, answers written thousands first. Which digit does it learn last?",
        choices=("thousands", "hundreds", "tens", "units"),
    ),
    "copying": Question(
        "Models that only attend, on strings that repeat: which learn to foresee the repetition?",
        choices=("only two layers", "one layer as well", "another outcome"),
    ),
    "turning": Question(
        "At which training step does width 96 first get half of the sums exactly right?",
        low=1,
        high=3_000,
        unit="steps",
    ),
    "reversed": Question(
        "With the answer written units first, when does exact match turn?",
        choices=("earlier", "no clear difference", "later"),
    ),
    "shift": Question(
        "Fine-tuned on Noto, the model sorts new Noto drawings. How much worse does it sort the same concepts in OpenMoji?",
        low=-100,
        high=100,
        unit="percentage points",
    ),
    "worst-mistake": Question(
        "Which of the clinic's mistakes costs the most test accuracy, not counting fp16, which leaves no model at all?",
        choices=(
            "diagonal targets though meanings repeat",
            "learning rate 1e-3",
            "temperature not clamped",
            "rows not normalized",
            "stray text dimension",
            "step picked on the test set",
        ),
    ),
    "flips": Question(
        "An encoder is trained anew, from other first weights, and is as good. Which share of the drawings gets another class?",
        low=0,
        high=100,
        unit="%",
    ),
    "slices": Question(
        "Which way of looking shows the most of a planted slice among ten drawings?",
        choices=("rows and errors", "k-means", "errors alone", "random"),
    ),
    "patch": Question(
        "A slice is mended. Does that break more drawings elsewhere than training once more on a tenth fewer rows, without a patch?",
        choices=("more", "no clear difference", "fewer"),
    ),
    "false-alarms": Question(
        "A drift alarm is fixed so that 5% of random windows set it off. In which share of real windows without drift does it ring?",
        low=0,
        high=100,
        unit="%",
    ),
    "greedy-repeats": Question(
        "Of the four-word sequences in a greedy continuation, which share stood there before?",
        low=0,
        high=100,
        unit="%",
    ),
    "cache": Question(
        "With a cache, how many tokens pass through the model for 60 new ones after a prompt of 40?",
        low=1,
        high=100_000,
        unit="tokens",
    ),
    "codes": Question(
        "Eight codes of six digits stand in the training text, twelve times each. How many does the model then write in full?",
        low=0,
        high=8,
        unit="codes",
    ),
    "lead": Question(
        "A run of 300 steps, a checkpoint every 20. In the median run, how many steps before the first secret can be drawn out"
        " does the alarm of the auditor with the list ring?",
        low=-300,
        high=300,
        unit="steps",
    ),
    "no-list": Question(
        "An auditor does not know the secrets and compares text trained on with text held out. In how many of ten harmful runs"
        " does this alarm ring in time?",
        low=0,
        high=10,
        unit="runs",
    ),
    "mend": Question(
        "Which way of mending leaves the fewest secrets to be drawn out?",
        choices=(
            "halfway back to the start",
            "deduplicated data after the end",
            "deduplicated data from the alarm on",
            "no clear winner",
        ),
    ),
    "ladder": Question(
        "From 0.1 to 2 million parameters: what happens to the bits per byte on addresses never trained on?",
        choices=("fall", "stay", "rise"),
    ),
}


def predict(name: str, answer: str | float | EllipsisType) -> None:
    """Write down a prediction; ``...`` means none yet.

    Args:
        name: one of :data:`QUESTIONS`.
        answer: one of the question's choices, or a number in its range.

    Raises:
        ValueError: an unknown name, or an answer that the question does not allow.
    """
    question = QUESTIONS[choose("name", name, QUESTIONS)]
    print(question.text)
    if answer is ...:
        print(f"Not predicted yet: put {_allowed(question)} in place of the three dots.")
        return
    _validate(question, answer)
    kept = _read() | {
        name: {"answer": answer, "time": datetime.datetime.now().isoformat(timespec="seconds")}
    }
    _file().write_text(json.dumps(kept, indent=1), encoding="utf-8")
    print(f"Your prediction, {_shown(question, answer)}, is written down.")


def recall(name: str) -> str | float | None:
    """Return the prediction that was written down, so that its miss can be scored; None where there is none.

    Args:
        name: one of :data:`QUESTIONS`.
    """
    kept = _read().get(choose("name", name, QUESTIONS))
    return kept and kept["answer"]


def reveal(name: str, measured: str | float | None = None) -> None:
    """Show the prediction beside the measurement; without a measurement, the prediction alone.

    Args:
        name: one of :data:`QUESTIONS`.
        measured: what the notebook measured, of the question's kind.
    """
    question = QUESTIONS[choose("name", name, QUESTIONS)]
    kept = _read().get(name)
    said = f"You predicted {_shown(question, kept['answer'])}" if kept else "You made no prediction"
    if measured is None:
        print(f"{said}; nothing is measured yet.")
        return
    print(f"{said}; measured: {_shown(question, measured)}.")


def _validate(question: Question, answer: str | float) -> None:
    if question.choices:
        choose("answer", answer, question.choices)
        return
    is_number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
    require(
        is_number and question.low <= answer <= question.high, "answer", _allowed(question), answer
    )


def _allowed(question: Question) -> str:
    if question.choices:
        return f"one of {', '.join(map(repr, question.choices))}"
    return f"a number from {question.low:g} to {question.high:g} ({question.unit})"


def _shown(question: Question, answer: str | float) -> str:
    if question.choices:
        return str(answer)
    rounded = float(f"{answer:.3g}")
    return f"{rounded:,.10g} {question.unit}"


def _file():
    return state_folder() / "predictions.json"


def _read() -> dict[str, dict]:
    return json.loads(_file().read_text(encoding="utf-8")) if _file().exists() else {}
