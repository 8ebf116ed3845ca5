"""The questions of every notebook's prediction cells, read from ``questions.toml`` beside this
file."""

from collections.abc import Sequence
from dataclasses import dataclass

from fmcourse.arguments import real
from fmcourse.files import read_toml


@dataclass(frozen=True)
class Question:
    """A question with either choices, or a range and a unit.

    Attributes:
        text: the question, one or two sentences.
        choices: the possible answers; empty for a number.
        low, high: the range of a number.
        unit: the unit of a number.
    """

    text: str
    choices: Sequence[str] = ()
    low: float = 0.0
    high: float = 0.0
    unit: str = ""

    @property
    def wide(self) -> bool:
        """Whether the range spans several powers of ten, so that factors count and not
        differences."""
        return self.low > 0 and self.high / self.low >= 1_000

    @property
    def allowed(self) -> str:
        """The admissible answers in words."""
        if self.choices:
            return f"one of: {'; '.join(self.choices)}"
        return f"a number from {_plain(self.low)} to {self.shown(self.high)}"

    def allows(self, answer) -> bool:
        """Say whether this is one of the choices, or a number in the range."""
        if self.choices:
            return answer in self.choices
        return real(answer) and self.low <= answer <= self.high

    def shown(self, answer: str | float) -> str:
        """Return an answer with its unit, numbers to three digits."""
        if isinstance(answer, str):
            return answer
        return _plain(answer) + ("%" if self.unit == "%" else f" {self.unit}")


def _plain(number: float) -> str:
    return f"{float(f'{number:.3g}'):,.15g}"


QUESTIONS = {name: Question(**entry) for name, entry in read_toml("quiz/questions.toml").items()}
