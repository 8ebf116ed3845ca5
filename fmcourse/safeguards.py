"""Alarms that are fixed before a run, what a repair costs, and cards for models and data. Used by
notebook 06.

A run is followed through its checkpoints: some precursors, and the harm itself. Sources: Yeom et
al. 2018 and Carlini et al. 2021 (membership and extraction), Wortsman et al. 2022 (interpolation,
here as a repair), Mitchell et al. 2019 (model cards), Gebru et al. 2021 (datasheets), Vovk et al.
2005 (the threshold). The lead time is the course's own measure.
"""

import collections
import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import datasets
import pandas as pd
from huggingface_hub import CardData, DatasetCard, DatasetCardData, ModelCard, ModelCardData
from numpy.typing import ArrayLike
from safetensors.torch import load_file

from fmcourse import data, models, stats
from fmcourse.arguments import choose, require
from fmcourse.results import select
from fmcourse.stats import Interval

HARM = 0.1  # a run has done harm once this share of its secrets can be extracted
DATASHEETS = {
    "addresses": ("party", "delivery"),
    "adult": ("sex", "race"),
    "emoji": ("style", "skin_tone", "gender"),
}


@dataclass(frozen=True)
class Trace:
    """One training run, as its checkpoints saw it.

    Attributes:
        planted: whether a harm was planted in its data.
        role: ``calibrate``, a run to fix thresholds on, or ``judge``, one to count on.
        steps: optimizer steps of the checkpoints, rising.
        precursors: name to one value per checkpoint; higher means nearer to harm.
        harm: the harm at each checkpoint, 0 to 1, such as the share of secrets that can be
            extracted.
        seed: of the run.
    """

    planted: bool
    role: str
    steps: Sequence[int]
    precursors: Mapping[str, Sequence[float]]
    harm: Sequence[float]
    seed: int


@dataclass(frozen=True)
class Scores:
    """What an alarm was worth on runs that had no say in it.

    Attributes:
        detected: share of the harmful runs with an alarm at or before the onset of the harm.
        false_alarms: share of the clean runs with any alarm.
        leads: optimizer steps from alarm to onset, one per harmful run with both; below 0 the alarm
            came too late.
        harmful, clean: how many runs were counted.
    """

    detected: Interval
    false_alarms: Interval
    leads: tuple[int, ...]
    harmful: int
    clean: int


def membership_auc(seen: ArrayLike, unseen: ArrayLike) -> float:
    """Return how well the loss tells what was trained on from what was not: the area under the ROC
    curve.

    Args:
        seen: the losses of texts in the training data, in nats, shape (n,).
        unseen: the losses of like texts that are not, shape (m,).

    Returns:
        The chance that a text that was seen has the lower loss, ties counting half: 0.5 means
        nothing is leaked.

    >>> membership_auc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    return stats.auc(seen, unseen)


def read_traces(path: Path) -> list[Trace]:
    """Return the runs that a recipe kept as a JSON list of mappings with the keys of
    :class:`Trace`.
    """
    names = [field.name for field in fields(Trace)]
    kept = json.loads(Path(path).read_bytes())
    return [Trace(**{name: run[name] for name in names}) for run in kept]


def calibrate(traces: Sequence[Trace], precursor: str) -> float:
    """Fix a threshold on the clean calibration runs: the highest value that any of them reached at
    any checkpoint.

    Runs with a planted harm are not used, so the alarm does not know what it looks for. With n
    calibration runs, a further clean run of the same kind gives a false positive with a probability
    of at most 1 / (n + 1), all its
    checkpoints counted: each of the n + 1 is equally likely to be the one that goes highest (Vovk,
        Gammerman and
    Shafer 2005, conformal prediction).

    Raises:
        ValueError: no clean run whose role is ``calibrate``, an unknown precursor, or a value that
            is not finite.
    """
    own = [run for run in traces if run.role == "calibrate" and not run.planted]
    roles = [run.role for run in traces]
    require(own, "traces", "at least one clean run whose role is 'calibrate'", roles)
    return max(value for run in own for value in _values(run, precursor))


def alarm(trace: Trace, precursor: str, threshold: float) -> int | None:
    """Return the step of the first checkpoint whose precursor exceeds the threshold; None when none
    does.

    Raises:
        ValueError: an unknown precursor, or a value or threshold that is not finite: NaN exceeds
            nothing, so an alarm would miss it without a word.

    >>> run = Trace(True, "judge", [0, 10, 20], {"auc": [0.5, 0.7, 0.9]}, [0.0, 0.0, 0.4], 0)
    >>> alarm(run, "auc", 0.6), onset(run)
    (10, 20)
    """
    require(math.isfinite(threshold), "threshold", "a finite number", threshold)
    above = [value > threshold for value in _values(trace, precursor)]
    return _first(trace, above)


def onset(trace: Trace) -> int | None:
    """Return the step of the first checkpoint at which the harm has reached :data:`HARM`; None when
    it never does.

    Raises:
        ValueError: a harm that is not finite.
    """
    return _first(trace, [value >= HARM for value in _finite(trace, "harm", trace.harm)])


def score(traces: Sequence[Trace], precursor: str, threshold: float) -> Scores:
    """Judge an alarm on the runs whose role is ``judge``.

    A planted run in which the harm never shows is no harmful run, nor a clean one: it is left out.

    Raises:
        ValueError: no harmful run or no clean one to judge on.
    """
    false_positives, onsets, alarms = [], [], []
    for run in traces:
        if run.role == "judge":
            fired, shown = alarm(run, precursor, threshold), onset(run)
            if not run.planted:
                false_positives.append(fired is not None)
            elif shown is not None:
                onsets.append(shown)
                alarms.append(fired)
    counts = len(onsets), len(false_positives)
    require(all(counts), "traces", "harmful and clean runs to judge on", counts)
    leads = [shown - fired for shown, fired in zip(onsets, alarms) if fired is not None]
    in_time = sum(lead >= 0 for lead in leads)
    return Scores(
        stats.wilson(in_time, counts[0]),
        stats.wilson(sum(false_positives), counts[1]),
        tuple(leads),
        *counts,
    )


@dataclass(frozen=True)
class Price:
    """What a way of mending left and what it cost, averaged over runs.

    Attributes:
        harm: the harm that is left, in the unit of the trace.
        loss: loss on clean text beyond that of the same run unmended, in the unit of the outcomes;
            below 0 is a gain.
        steps: extra optimizer steps.
    """

    harm: Interval
    loss: Interval
    steps: float


def prices(outcomes: Sequence[Mapping]) -> dict[str, Price]:
    """Return the price of each way of mending; losses are paired run by run with those of the way
    ``nothing``.

    Args:
        outcomes: mappings with keys ``seed``, ``way``, ``harm``, ``loss`` and ``extra_steps``;
            every way has every seed, and one way is ``nothing``.

    Raises:
        ValueError: fewer than two seeds, or a way with other seeds than ``nothing``.
    """
    table = pd.DataFrame(outcomes)
    base = select(table, way="nothing").set_index("seed").sort_index()
    found = {}
    for way in table["way"].unique():
        own = select(table, way=way).set_index("seed").sort_index()
        same = own.index.equals(base.index)
        require(same, f"outcomes of {way!r}", f"the seeds {list(base.index)}", list(own.index))
        extra_loss = stats.mean_interval(own["loss"] - base["loss"])
        steps = float(own["extra_steps"].mean())
        found[way] = Price(stats.share_interval(own["harm"]), extra_loss, steps)
    return found


def model_card(name: str) -> ModelCard:
    """Return the card of a bundled model, every figure in it read from the bundle (Mitchell et al.
    2019).

    Args:
        name: one of the bundled CLIPs or of the ladder.
    """
    entry = _entry(f"{choose('name', name, (*models.CLIPS, *models.LADDER))}/model.safetensors")
    about = ModelCardData(library_name="transformers", tags=["fmcourse"])
    report = data.path(name) / "report.json"
    measured = json.loads(report.read_bytes()) if report.exists() else {}
    made = {
        "numbers in the weights": f"{_numbers(name):,}",
        "trained on": "; ".join(entry["sources"]),
        "recipe": entry["recipe"],
    }
    made |= {f"setting: {key}": value for key, value in entry["settings"].items()}
    use = (
        "Made to be trained, measured and broken in class. It is small: what it does need not hold "
        "for large models."
    )
    parts = [
        ("Intended use", use),
        ("How it was made", _table(made)),
        ("What was measured", _figures(measured)),
        ("Licence and whom to name", f"{entry['licence']}; {entry['attribution']}"),
    ]
    return ModelCard(_card(about, name, parts))


def datasheet(name: str) -> DatasetCard:
    """Return the datasheet of a bundled table, every figure in it counted from its rows (Gebru et
    al. 2021).

    Args:
        name: one of :data:`DATASHEETS`.
    """
    columns = DATASHEETS[choose("name", name, DATASHEETS)]
    table = getattr(data, f"load_{name}")()
    origins, licences = {}, set()
    for file in data.manifest():
        if file.startswith(name) and file.endswith(".parquet"):
            entry = _entry(file)
            origins[file] = f"{'; '.join(entry['sources'])}; {entry['recipe']}"
            licences.add(entry["licence"])
    parts = [("Composition", f"{len(table):,} rows; columns {', '.join(table.column_names)}.")]
    parts += [(f"Who is in it: {column}", _table(_shares(table, column))) for column in columns]
    if name == "adult":
        for column in columns:
            heading = f"Income over 50,000 dollars, by {column}"
            parts.append((heading, _table(_incomes(table, column))))
    parts += [("Where it comes from", _table(origins)), ("Licence", "; ".join(sorted(licences)))]
    about = DatasetCardData(pretty_name=name, tags=["fmcourse"])
    return DatasetCard(_card(about, name, parts))


def stale(stored: str, fresh: str) -> list[str]:
    """Return the lines in which a stored card differs from one computed now, each with its sign;
    none when it is fresh.

    >>> stale("n: 3\\n", "n: 4\\n")
    ['-n: 3', '+n: 4']
    """
    lines = difflib.unified_diff(stored.splitlines(), fresh.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _values(trace: Trace, precursor: str) -> Sequence[float]:
    values = trace.precursors[choose("precursor", precursor, trace.precursors)]
    return _finite(trace, precursor, values)


def _finite(trace: Trace, name: str, values: Sequence[float]) -> Sequence[float]:
    """Return the values when all are numbers; a run that broke must not look like a quiet one."""
    for step, value in zip(trace.steps, values):
        expected = f"a finite number at step {step} of the run with seed {trace.seed}"
        require(math.isfinite(value), name, expected, value)
    return values


def _first(trace: Trace, reached: Sequence[bool]) -> int | None:
    return next((step for step, yes in zip(trace.steps, reached) if yes), None)


def _entry(file: str) -> dict:
    data.path(file)  # a damaged file gets no card
    return data.manifest()[file]


def _numbers(name: str) -> int:
    tensors = load_file(data.path(f"{name}/model.safetensors")).values()
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def _figures(report: Mapping[str, Mapping]) -> str:
    if not report:
        return "See the evidence rows of notebook 04 and `benchmarks/ladder.py`."
    lines = {}
    for what, figures in report.items():
        lines[what] = ", ".join(f"{key} {value:g}" for key, value in figures.items())
    return _table(lines)


def _shares(table: datasets.Dataset, column: str) -> dict[str, str]:
    counts = collections.Counter(str(value).strip() or "not stated" for value in table[column])
    shares = {}
    for value, count in counts.most_common(8):
        shares[value] = f"{count:,} ({100 * count / len(table):.1f}%)"
    return shares


def _incomes(table: datasets.Dataset, column: str) -> dict[str, str]:
    frame = table.select_columns([column, "income_over_50k"]).to_pandas()
    groups = frame.groupby(column)["income_over_50k"].agg(["sum", "count"])
    shares = {}
    for group, (high, count) in groups.iterrows():
        shares[group] = f"{stats.wilson(int(high), int(count)):.3f}"
    return shares


def _table(rows: Mapping[str, object]) -> str:
    lines = [f"| {key} | {str(value).replace('|', '/')} |" for key, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _card(about: CardData, name: str, parts: Sequence[tuple[str, str]]) -> str:
    sections = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in parts)
    return f"---\n{about.to_yaml()}\n---\n\n# {name}\n\n{sections}\n"
