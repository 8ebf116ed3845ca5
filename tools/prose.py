"""Does the prose still agree with what the code showed? Every number of a notebook's reading paragraphs, looked up.

A reading paragraph begins with **Read it** and goes on to the next heading. Each of its numbers must have been shown by the cells of
its section so far: in an output or a figure's description, to which it may be rounded (a share may be cited in %), or, exactly, as a
setting in code or in the prose before. A sentence that names another section may cite that one as well. Not looked up: spelled-out
numbers, a bare 0 or 1, years, references, formulae, code, and sentences that cite a paper.

A number that was worked out is followed by a comment, which no reader sees, with the arithmetic: ``2.5<!-- exp(0.91) -->``; then the
numbers in there are looked up, and the result is compared. ``40<!-- section 2 -->`` names where a number was shown, and
``23<!-- test: none of 13 -->`` the entry of tests/test_prose.py that computes it. A comment is honoured in any paragraph.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from nbformat import NotebookNode

from tools.form import texts

__all__ = ["Cited", "Sentence", "Shown", "cited", "evaluate", "problems", "sentences", "wrong"]

NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?(?!\w|\.\d|,\d{3})"
)
PERCENT = re.compile(  # behind one number, or behind a list; comments have become NULs
    r"\0*(?:(?:,|,?\s(?:and|or|to|against)|-)\s?-?\d+(?:\.\d+)?%?\0*)*(?:%|\s(?:percentage )?points?\b)"
)
COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
INTERVAL = re.compile(r"(?<=[\d%]) \[ *-?[\d.]+, +-?[\d.]+\]")
SAYS_ENDS = re.compile(
    r"\b(?:intervals?|allows?|between|up to|at (?:least|most)|above|below)\b"
)  # then it may cite an end
NAMED = r"(?:sections?|notebooks?|exercises?|figures?|tables?|equations?) \d+(?:\.\d+)*(?:(?:,|,? and| to) \d+(?:\.\d+)*)*"
UNREAD = re.compile(
    rf"\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`|!?\[[^\]]*\]\([^)]*\)|\b(?i:{NAMED})"  # formulae, code, links, references
    r"|\d{4}-\d\d-\d\d|(?<![.,\d])\b(?:1[5-9]|20)\d\d\b(?![.,]\d|%)",  # dates, years
    re.DOTALL | re.MULTILINE,
)
CITES = re.compile(r"\bet al\b|\b[A-Z]\w+ and [A-Z]\w+ \(?(?:19|20)\d\d\b")
NO_END = re.compile(r"(?<=\bet al)\.|^\d+\. ", re.MULTILINE)  # points that end no sentence
SENTENCE = re.compile(r"(?<=[.!?;])[)*\"]*\s+")
READ = re.compile(r"(^\*\*Read it.*?(?=^#{1,6} |\Z))", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^(?=##? )", re.MULTILINE)

NOTHING, NO_RESULT = (
    "nothing that its section showed rounds to it",
    "its section stores no result; execute it",
)
UNITS = {
    1,
    2,
    100,
}  # what arithmetic may hold without having been shown: shares to percent, halves and doubles
FUNCTIONS = {"exp": math.exp, "log": math.log, "round": round}
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Cited:
    """A number as prose states it.

    Attributes:
        text: how it is written, at `start` of its sentence.
        value: its value, with a sign only where one is written.
        decimals: to how many decimals it is given.
        percent: whether it counts percent or points.
        ends: whether its sentence speaks of intervals, so that it may be an end of one.
        mark: what the comment behind it says, or nothing.
    """

    text: str
    start: int
    value: float
    decimals: int
    percent: bool
    ends: bool
    mark: str = ""

    def rounds(self, value: float) -> bool:
        """Return whether `value` rounds to this number; its sign counts only where one is written."""
        return (
            abs(abs(value) - abs(self.value)) <= 0.5 * 10.0**-self.decimals + 1e-9
            and not self.value < 0 < value
        )


@dataclass(frozen=True)
class Shown:
    """What cells showed: the numbers of outputs, each with whether it ends an interval, and the settings, without their signs."""

    results: tuple[tuple[float, bool], ...] = ()
    settings: frozenset[float] = frozenset()

    def __add__(self, other: Shown) -> Shown:
        return Shown(self.results + other.results, self.settings | other.settings)

    def has(self, number: Cited) -> bool:
        """Return whether a result rounds to the number, or a setting is it."""
        factors = (1, 100) if number.percent else (1,)
        values = [
            factor * value
            for value, end in self.results
            if number.ends or not end
            for factor in factors
        ]
        return abs(number.value) in self.settings or any(map(number.rounds, values))


@dataclass(frozen=True)
class Sentence:
    """A sentence of a notebook: its cell, from 1, its text, what had been shown when it comes, and whether it reads a result."""

    cell: int
    text: str
    shown: Shown = field(repr=False)
    reads: bool


def problems(notebook: NotebookNode) -> Iterator[str]:
    """Yield one sentence for each number that agrees with nothing shown; none for a notebook that was never executed."""
    if any(cell.get("outputs") for cell in notebook.cells):
        yield from (
            f"cell {sentence.cell}: {words}"
            for sentence in sentences(notebook)
            for words in wrong(sentence)
        )


def sentences(notebook: NotebookNode) -> Iterator[Sentence]:
    """Yield the sentences of all markdown cells in order."""
    sections, current = {"": Shown()}, ""
    for place, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            sections[current] += _shown_by(cell)
        for text in _pieces(cell):
            if heading := re.match(r"##? (.*)", text):
                current = heading[1].partition(" · ")[0]
                sections[current] = Shown()
            reads = text.startswith("**Read it")
            for one in SENTENCE.split(NO_END.sub("", text)):
                named = [sections[name] for name in _sections_in(one) if name in sections]
                yield Sentence(place, one, sum(named, sections[current]), reads)
            if not reads:
                sections[current] += Shown(
                    settings=frozenset(abs(number.value) for number in cited(text))
                )


def _pieces(cell: NotebookNode) -> list[str]:
    """Return a markdown cell's text in pieces: each begins with a section, reads a result, or does neither."""
    parts = SECTION.split(cell.source) if cell.cell_type == "markdown" else []
    return [piece for part in parts for piece in READ.split(part)]


def _sections_in(sentence: str) -> list[str]:
    """Return the numbers of the notebook's sections that a sentence, or a comment in it, names; the report's have a point."""
    named = re.findall(r"\b[Ss]ections? [\d.]+(?:(?:,|,? and| to) [\d.]+)*", sentence)
    return re.findall(r"(?<![\d.])\d+(?!\.?\d)", " ".join(named))


def _shown_by(cell: NotebookNode) -> Shown:
    """Return what a code cell shows: the numbers of its outputs and figures' descriptions, and those that its code holds."""
    alts = (
        output.get("metadata", {}).get("image/png", {}).get("alt", "") for output in cell.outputs
    )
    said = [*(text for _, text in texts(cell.outputs)), *alts]
    try:
        nodes = list(ast.walk(ast.parse(cell.source)))
    except SyntaxError:  # a magic
        nodes = []
    settings = (
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and type(node.value) in (int, float)
    )
    return Shown(
        tuple(pair for text in said for pair in _results(text)), frozenset(map(float, settings))
    )


def _results(text: str) -> Iterator[tuple[float, bool]]:
    """Yield the numbers of an output, each with whether it is an end in ``0.24 [0.19, 0.30]``."""
    intervals = [match.span() for match in INTERVAL.finditer(text)]
    for match in NUMBER.finditer(text):
        yield (
            float(match[0].replace(",", "")),
            any(start < match.start() < end for start, end in intervals),
        )


def cited(sentence: str) -> Iterator[Cited]:
    """Yield the numbers of a sentence that are to be looked up.

    >>> [number.text for number in cited("It is 24% in 1,644 drawings, as section 3 said in 2021.")]
    ['24', '1,644']
    """
    plain = UNREAD.sub(lambda match: " " * len(match[0]), sentence)
    bare = COMMENT.sub(lambda match: "\0" * len(match[0]), plain)
    intervals = [match.span() for match in INTERVAL.finditer(bare)]
    for match in NUMBER.finditer(bare):
        value, mark = (
            Decimal(match[0].replace(",", "")),
            COMMENT.match(sentence, match.end() + (bare[match.end() :][:1] == "%")),
        )
        percent = bool(PERCENT.match(bare, match.end()))
        ends = bool(SAYS_ENDS.search(bare)) or any(
            start < match.start() < end for start, end in intervals
        )
        if mark or percent or value not in (0, 1) or "." in match[0]:
            said = mark[1].strip() if mark else ""
            yield Cited(
                match[0],
                match.start(),
                float(value),
                -value.as_tuple().exponent,
                percent,
                ends,
                said,
            )


def wrong(sentence: Sentence) -> Iterator[str]:
    """Yield what is wrong with the numbers of a sentence: of each that reads a result or has a comment; and comments without one."""
    looked_up, numbers = (
        sentence.reads and not CITES.search(sentence.text),
        list(cited(sentence.text)),
    )
    loose = Counter(map(str.strip, COMMENT.findall(sentence.text))) - Counter(
        number.mark for number in numbers
    )
    yield from (
        f"the comment {comment!r} does not stand right behind a number" for comment in loose
    )
    for number in numbers:
        worked_out = re.sub(r"(?:^|, )sections? [\d, and]+$", "", number.mark)
        if worked_out.startswith("test: "):
            continue
        if worked_out:
            yield from (
                f"{number.text}: {words}"
                for words in _worked_out(number, worked_out, sentence.shown)
            )
        elif (looked_up or number.mark) and not sentence.shown.has(number):
            yield f"{number.text}: {NOTHING if sentence.shown.results else NO_RESULT}, in {_around(number, sentence.text)!r}"


def _worked_out(number: Cited, arithmetic: str, shown: Shown) -> Iterator[str]:
    try:
        value = evaluate(arithmetic)
    except ValueError as error:
        yield str(error)
        return
    if not number.rounds(value):
        yield f"its comment {arithmetic!r} gives {value:.4g}"
    for part in cited(arithmetic):
        if part.value not in UNITS and not shown.has(replace(part, ends=True)):
            yield f"nothing that its section showed rounds to the {part.text} in its comment {arithmetic!r}"


def _around(number: Cited, sentence: str) -> str:
    near = sentence[max(number.start - 40, 0) : number.start + 40]
    return " ".join(re.sub("<!--.*?(?:-->|$)", "", near, flags=re.DOTALL).split())


def evaluate(arithmetic: str) -> float:
    """Return the value of an expression of numbers, + - * /, exp, log and round.

    >>> evaluate("round(100 * (0.41 - 0.30))")
    11

    Raises:
        ValueError: it holds anything else, or has no value.
    """
    try:
        return _value(ast.parse(arithmetic, mode="eval").body)
    except (SyntaxError, TypeError, ArithmeticError, ValueError):
        raise ValueError(
            f"its comment {arithmetic!r} is no arithmetic: expected numbers, + - * /, exp, log and round"
        ) from None


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*map(_value, arguments))
    raise ValueError(ast.dump(node))
