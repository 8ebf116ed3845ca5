"""A number in prose that agrees with nothing shown is found: by each rule on paper, and in the notebooks by altering them."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from doubles import says
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import fmcourse
from fmcourse import breadth, bundle, clip, emergence, evidence, homogenization, uncertainty
from tools import form, prose
from tools.retarget import ROOT

NOTEBOOKS = {path.stem: form.read(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "TEACHING.md")}
MOST_MISSED = (
    0.2  # share of altered numbers that happen to agree with something else that the section shows
)


def cell(source="run()", printed="", alt=""):
    """Return a code cell that printed a text and, where a description is given, drew a figure."""
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    if alt:
        outputs.append(
            new_output("display_data", {"image/png": ""}, metadata={"image/png": {"alt": alt}})
        )
    return new_code_cell(source, outputs=outputs)


def found(text, *, before="## 1 · A run", code="run()", printed="step 17", alt=""):
    """Return which numbers of a reading paragraph are wrong, after one run in one section."""
    cells = [
        new_markdown_cell(before),
        cell(code, printed, alt),
        new_markdown_cell(f"**Read it.** {text}"),
    ]
    return [problem.split(": ")[1] for problem in prose.problems(new_notebook(cells=cells))]


def test_a_number_that_was_printed_agrees_and_another_does_not():
    printed = "share right: 0.24 [0.19, 0.30]"
    assert found("It is 0.24.", printed=printed) == []
    assert found("It is 0.25.", printed=printed) == ["0.25"]


def test_the_sentence_says_which_and_where():
    cells = [
        cell(printed="0.24"),
        new_markdown_cell(
            "**Read it.** Here is 0.24. There, for whoever looks again, is 0.25, and more."
        ),
    ]
    words = "cell 2: 0.25: nothing that its section showed rounds to it, in 'There, for whoever looks again, is 0.25, and more.'"
    assert list(prose.problems(new_notebook(cells=cells))) == [words]


@pytest.mark.parametrize(
    "text, printed, wrong",
    [
        ("It is 0.2.", "0.24", []),
        ("It is 0.3.", "0.24", ["0.3"]),
        ("It is 0.240.", "0.24", []),
        ("It is 0.243.", "0.24", ["0.243"]),
        ("It is 8 nats.", "-8.2", []),
        ("It is 24%.", "0.24", []),
        ("It is 24.", "0.24", ["24"]),
        ("They are 24, 31 and 8%.", "0.24 and 0.31 and 0.08", []),
        ("It is 19-24%.", "0.19 to 0.24", []),
        ("It fell by 24 points.", "24.3", []),
        ("It is -0.8.", "-0.8", []),
        ("It is 0.8.", "-0.8", []),
        ("It is -0.8.", "0.8", ["-0.8"]),
        ("Of 1,644 drawings.", "1644", []),
        ("Of 1,644 drawings.", "1,644 drawings", []),
        ("A rate of 1e-3.", "0.001", []),
        ("A rate of 1e-3.", "0.002", ["1e-3"]),
    ],
)
def test_rounding_percent_signs_and_commas(text, printed, wrong):
    assert found(text, printed=printed) == wrong


def test_a_figures_description_is_an_output():
    assert found("It rises to 0.86.", alt="One run. goes from 0.00 at 0 to 0.86 at 1200.") == []
    assert found("It rises to 0.87.", alt="One run. goes from 0.00 at 0 to 0.86 at 1200.") == [
        "0.87"
    ]


def test_settings_agree_exactly():
    assert found("After 1,200 steps at 0.003.", code="steps, rate = 1200, 0.003") == []
    assert found("After 40 sums.", before="## 1 · A run\n\nIt reads 40 sums.") == []
    assert found("It is 0.9.", code="share = 0.92") == ["0.9"], "a setting is not rounded"
    assert found("It is 92%.", code="share = 0.92") == ["92"]
    assert found("It is 3.", code='print(f"{x:.3f}")\n%magic 3') == ["3"], (
        "a magic holds no settings"
    )
    assert found("It is 3.", code='print(f"{x:.3f}")') == ["3"], "nor do formats"


def test_the_ends_of_an_interval_need_words_about_intervals():
    printed = "linear probe 0.41 [0.35, 0.48]"
    assert found("It is 35%.", printed=printed) == ["35"]
    assert found("It is between 35 and 48%.", printed=printed) == []
    assert found("It is 41% [0.35, 0.48].", printed=printed) == []


def test_nothing_counts_that_comes_later_or_from_another_section():
    read = new_markdown_cell("**Read it.** It is 0.24.")
    late = [new_markdown_cell("## 1 · A"), cell(printed="done"), read, cell(printed="0.24")]
    other = [
        new_markdown_cell("## 1 · A"),
        cell(printed="0.24"),
        new_markdown_cell("## 2 · B"),
        cell(printed="done"),
        read,
    ]
    for cells in (late, other):
        assert len(list(prose.problems(new_notebook(cells=cells)))) == 1


@pytest.mark.parametrize(
    "text, count",
    [
        ("It is 0.24, as in section 1.", 0),
        ("It is 0.24<!-- section 1 -->.", 0),
        ("It is 0.24, as in sections 3 and 1.", 0),
        ("It is 0.24, as in section 3.", 1),
        ("It is 0.24 (report, section 1.1).", 1),
        ("It is 0.24. So it was in section 1.", 1),
    ],
)
def test_a_sentence_that_names_a_section_may_cite_it(text, count):
    cells = [
        new_markdown_cell("## 1 · A"),
        cell(printed="0.24"),
        new_markdown_cell("## 2 · B"),
        cell(printed="done"),
    ]
    cells.append(new_markdown_cell(f"**Read it.** {text}"))
    assert len(list(prose.problems(new_notebook(cells=cells)))) == count


@pytest.mark.parametrize(
    "text",
    [
        "Holds 0, at most 1, and seven of nine.",
        "In 1912, from 1931-2026, on 2026-11-24.",
        "As $x = 3.5$ and `x = 3.5` say, and [this, 3.5](x35.md).",
        "GPT-2, fp16, 1.3B, 4x and the 16th.",
        "See sections 4.2, 4.7 and 5, notebook 02, exercise 3, figure 4.",
        "Kumar et al. (2022) found 7 points.",
        "Zeiler and Fergus 2014 hid 16 squares.",
        "1. One\n2. Two",
    ],
)
def test_what_is_not_looked_up(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("Kumar et al. found 7 points; here it is 8 points.", ["8"]),
        ("Kumar et al. found 7 points. Here it is 8 points.", ["8"]),
        ("It is 0% of 1.0 (all).", ["0", "1.0"]),
        ("1,912 and 19.12 and 0.1912 and 2048%", ["1,912", "19.12", "0.1912", "2048"]),
        ("It grew 2.5-fold.", ["2.5"]),
    ],
)
def test_what_is_looked_up_all_the_same(text, wrong):
    assert found(text) == wrong


def test_only_reading_paragraphs_are_read_up_to_the_next_heading():
    text = "It was 5.\n\n**Read it.** It is 6.\n\nStill 7.\n\n### Exercise 1\n\nUp to 8.\n\n## 2 · B\n\nNow 9."
    notebook = new_notebook(cells=[cell(printed="done"), new_markdown_cell(text)])
    assert [problem.split(": ")[1] for problem in prose.problems(notebook)] == ["6", "7"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("by a factor of 2.5<!-- exp(0.91) -->", []),
        ("by 11<!-- 100 * (0.41 - 0.30) --> points", []),
        ("by 11%<!-- 100 * (0.41 - 0.30) -->", []),
        ("a half, 0.46<!-- 0.91 / 2 -->", []),
        ("by a factor of 2.6<!-- exp(0.91) -->", ["2.6: its comment 'exp(0.91)' gives 2.484"]),
        (
            "by a factor of 2.5<!-- exp(0.93) -->",
            ["2.5: nothing that its section showed rounds to the 0.93 in its comment 'exp(0.93)'"],
        ),
        (
            "2.5<!-- exp(0.91 -->",
            [
                "2.5: its comment 'exp(0.91' is no arithmetic: expected numbers, + - * /, exp, log and round"
            ],
        ),
        (
            "30<!-- 41 - 11, section 1 --> of them",
            ["30: nothing that its section showed rounds to the 41 in its comment '41 - 11'"],
        ),
    ],
)
def test_a_number_that_was_worked_out_says_how(text, words):
    cells = [
        cell("rest = 11", printed="0.91 and 0.41 [0.35, 0.48] and 0.30"),
        new_markdown_cell(f"**Read it.** It is {text}."),
    ]
    assert list(prose.problems(new_notebook(cells=cells))) == [
        f"cell 2: {problem}" for problem in words
    ]
    cells[1].source = f"Elsewhere: {text}."
    assert len(list(prose.problems(new_notebook(cells=cells)))) == len(words), (
        "a comment is honoured in any paragraph"
    )


@pytest.mark.parametrize(
    "text",
    ["two<!-- 1 + 1 --> of them", "0.91 nats<!-- exp(2) -->", "as in [0.91](x.md)<!-- exp(2) -->"],
)
def test_a_comment_that_no_number_has_is_found(text):
    comment = text.partition("<!-- ")[2].partition(" -->")[0]
    notebook = new_notebook(cells=[cell(printed="0.91"), new_markdown_cell(f"It is {text}.")])
    assert list(prose.problems(notebook)) == [
        f"cell 2: the comment {comment!r} does not stand right behind a number"
    ]


@pytest.mark.parametrize(
    "arithmetic, value",
    [
        ("1 + 2 * 3", 7),
        ("-(4 - 1) / 2", -1.5),
        ("round(2.46, 1)", 2.5),
        ("exp(log(3))", pytest.approx(3)),
    ],
)
def test_arithmetic(arithmetic, value):
    assert prose.evaluate(arithmetic) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2 ** 3",
        "'a' * 3",
        "abs(-1)",
        "exp(0.1).real",
        "round(1.5, ndigits=0)",
        "1 / 0",
        "log(0)",
        "1, 2",
    ],
)
def test_anything_else_is_refused(text):
    with says(
        ValueError,
        f"its comment {text!r} is no arithmetic: expected numbers, + - * /, exp, log and round",
    ):
        prose.evaluate(text)


def test_a_notebook_that_was_never_executed_has_nothing_to_compare_and_one_cell_without_outputs_is_found():
    read = new_markdown_cell("**Read it.** It is 5.")
    assert list(prose.problems(new_notebook(cells=[cell(), read]))) == []
    cells = [cell(printed="5"), new_markdown_cell("## 2 · B"), cell(), read]
    assert list(prose.problems(new_notebook(cells=cells))) == [
        "cell 4: 5: its section stores no result; execute it, in 'It is 5.'"
    ]


# The notebooks: tools.notebooks lints each. Here: would that notice?


def altered(number):
    """Yield a number as prose would write it with its last digit changed by 1 or 2, and the whole by a quarter."""
    unit = 10.0**-number.decimals
    for value in (
        number.value + step
        for step in (-2 * unit, -unit, unit, 2 * unit, -number.value / 4, number.value / 4)
    ):
        text = (
            f"{value:,.{number.decimals}f}"
            if "," in number.text
            else f"{value:.{number.decimals}f}"
        )
        if (
            text != number.text
            and (value < 0) == (number.value < 0)
            and float(text.replace(",", "")) != 0
        ):
            yield text


def alterations():
    """Yield each sentence of the notebooks that is looked up, with one of its numbers altered; none of those in COMPUTED."""
    for sentence in itertools.chain.from_iterable(map(prose.sentences, NOTEBOOKS.values())):
        reads = (
            sentence.reads
            and not prose.CITES.search(sentence.text)
            and not any(prose.wrong(sentence))
        )
        for number in prose.cited(sentence.text):
            if reads and not number.mark.startswith("test: ") and "e" not in number.text:
                for text in altered(number):
                    changed = (
                        sentence.text[: number.start]
                        + text
                        + sentence.text[number.start + len(number.text) :]
                    )
                    yield replace(sentence, text=changed)


def test_most_altered_numbers_are_noticed():
    missed = [not any(prose.wrong(changed)) for changed in alterations()]
    print(
        f"{sum(missed)} of {len(missed)} altered numbers agree with something else: {sum(missed) / len(missed):.1%}"
    )
    assert len(missed) > 300 and sum(missed) / len(missed) < MOST_MISSED


# What the text cites and no cell prints: each comment "test: name" has an entry here, which computes the numbers of a text in order.


def turning(sweep):
    """Return the middle turning point of a sweep's runs; one that never turned counts as the latest."""
    return float(np.median(np.nan_to_num(sweep.turning_points(), nan=np.inf)))


def half_way(share):
    """Return the first and last step at which a run on so many bursty strings had half of what can be gained, among all runs."""
    dose = emergence.load_dose()
    sweeps = {
        count: dose.only(layers=2, bursty=share, tokens=count) for count in dose.values("tokens")
    }
    halves = [sweep.curves("in_context") / np.log(count) <= -0.5 for count, sweep in sweeps.items()]
    steps = dose.steps[np.concatenate(halves).argmax(axis=1)]
    return [steps.min(), steps.max()]


def narrower_and_earlier():
    plain = emergence.load_autopsy().only(reverse=False)
    widest = plain.only(width=64)
    sweeps = {width: plain.only(width=width) for width in plain.values("width")[:-1]}
    return [
        w
        for w, s in sweeps.items()
        if turning(s) < turning(widest) and s.last("exact").mean() > widest.last("exact").mean()
    ]


def task(rank):
    """Return the step at which each run had learnt half of a task."""
    parity = emergence.load_parity()
    return parity.steps[(parity.curves(f"task {rank}") <= 0.5).argmax(axis=1)]


def grokking():
    with_decay, without = (
        emergence.load_grokking().only(weight_decay=decay) for decay in (1.0, 0.0)
    )
    tests = with_decay.turning_points("test", threshold=0.5)
    assert np.isnan(without.turning_points("test", threshold=0.5)).all()
    first = emergence.load_grokking().turning_points("train", threshold=0.5).mean()
    return [
        round(first, -1),
        round(tests.min(), -2),
        round(tests.max(), -2),
        without.steps[-1],
        100 * without.last("test").max(),
    ]


def best_alphas():
    frontier = clip.load_frontier()
    right = {
        alpha: frontier.accuracy("interpolated", "shifted", alpha).estimate
        for alpha in frontier.alphas
    }
    best = sorted(sorted(right, key=right.get)[-3:])
    return [best[0], best[-1]]


def clip_report(kind, measure):
    report = json.loads(bundle.path("emoji-clip/report.json").read_text(encoding="utf-8"))
    return [100 * found[measure] for name, found in report.items() if name.startswith(kind)]


def new_concepts():
    *trained, unseen = clip_report("held-out concepts", "recall@5")
    return [min(trained), max(trained), unseen]


def clinic():
    settings = bundle.manifest()["clip-clinic.parquet"]["settings"]
    return [settings["steps"], settings["batch"], settings["steps"], clip.Habits().lr]


def repairs():
    recall = homogenization.load_recall()
    return [
        recall.success(kind).estimate
        for kind in ("clean fine-tuning", "as it was", "second lineage")
    ]


def breadth_change():
    change = breadth.load_breadth().change(("styles", 1), ("styles", 5))
    return [change.estimate, change.low, change.high]


def verdicts():
    found = [
        evidence.verdict(row)
        for row in json.loads(bundle.path("evidence.json").read_text(encoding="utf-8"))
    ]
    return [len(found), *map(found.count, ("held", "missed", "null"))]


COMPUTED = {
    "breadth": breadth_change,
    "repairs": repairs,
    "verdicts": verdicts,
    "half dose": lambda: half_way(0.5),
    "whole dose": lambda: half_way(1.0),
    "inquest": lambda: sorted(emergence.load_inquest().turning_points())[::2],
    "narrower and earlier": narrower_and_earlier,
    "commonest task": lambda: sorted(set(task(0))),
    "rarest task": lambda: [task(11).min()],
    "grokking": grokking,
    "measured half": lambda: [len(clip.halves(233, seed=5)[1])],
    "best alphas": best_alphas,
    "head rates": lambda: [clip.adaptation.HEAD_LR, clip.adaptation.LP_RATES["head_lr"]],
    "clinic": clinic,
    "CLIP, new drawings": lambda: [
        clip_report("OpenMoji among all names", f"recall@{k}")[0] for k in (1, 5)
    ],
    "CLIP, new concepts": new_concepts,
    "CLIP, subgroups": lambda: clip_report("OpenMoji subgroups", "accuracy"),
    "none of 13": lambda: [100 * uncertainty.wilson(0, 13).high],
    "bytes read": lambda: [
        sum(
            len(row["text"].encode())
            for row in fmcourse.load_addresses()
            if row["split"] == "train"
        )
        / 1e6
    ],
    "megabytes": lambda: [sum(entry["bytes"] for entry in bundle.manifest().values()) / 1e6],
}


def marked():
    """Return the numbers that name a test, by text and name, in order."""
    numbers = defaultdict(list)
    pages = {
        name: [sentence.text for sentence in prose.sentences(notebook)]
        for name, notebook in NOTEBOOKS.items()
    }
    for page, texts in (pages | {name: text.splitlines() for name, text in PAGES.items()}).items():
        for number in itertools.chain.from_iterable(map(prose.cited, texts)):
            if number.mark.startswith("test: "):
                numbers[page, number.mark.removeprefix("test: ")].append(number)
    return numbers


MARKED = marked()


def test_every_named_test_is_here_and_no_other():
    assert {name for _, name in MARKED} == set(COMPUTED)


@pytest.mark.parametrize("page, name", MARKED, ids=": ".join)
def test_a_number_that_names_a_test_is_what_it_computes(page, name):
    numbers, values = MARKED[page, name], [float(value) for value in COMPUTED[name]()]
    agree = [number.rounds(value) for number, value in zip(numbers, values)]
    assert len(numbers) == len(values) and all(agree), (
        f"{page} cites {[n.text for n in numbers]}, computed: {values}"
    )
