"""Would anybody have noticed in time? Precursors of a harm, an alarm fixed beforehand, what mending costs, and cards.

Serves notebook 06. A run is followed through its checkpoints: some precursors, and the harm itself. Sources: Yeom et al. 2018
and Carlini et al. 2021 (membership and extraction), Wortsman et al. 2022 (interpolation, here as a way back), Mitchell et al.
2019 (model cards), Gebru et al. 2021 (datasheets), Vovk et al. 2005 (the threshold). The lead time is the course's own measure.
"""

from __future__ import annotations

import collections
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse import bundle, hub, uncertainty
from fmcourse.arguments import choose, require
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import datasets
    from huggingface_hub import DatasetCard, ModelCard
    from numpy.typing import ArrayLike

__all__ = [
    "DATASHEETS",
    "Price",
    "Scores",
    "Trace",
    "alarm",
    "calibrate",
    "datasheet",
    "membership_auc",
    "model_card",
    "onset",
    "prices",
    "read_traces",
    "score",
    "stale",
]

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
        harm: the harm at each checkpoint, 0 to 1, such as the share of secrets that can be extracted.
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
        leads: optimizer steps from alarm to onset, one per harmful run with both; below 0 the alarm came too late.
        harmful, clean: how many runs were counted.
    """

    detected: Interval
    false_alarms: Interval
    leads: tuple[int, ...]
    harmful: int
    clean: int


def membership_auc(seen: ArrayLike, unseen: ArrayLike) -> float:
    """Return how well the loss tells what was trained on from what was not: the area under the ROC curve.

    Args:
        seen: the losses of texts in the training data, in nats, shape (n,).
        unseen: the losses of like texts that are not, shape (m,).

    Returns:
        The chance that a text that was seen has the lower loss, ties counting half: 0.5 means nothing is leaked.

    >>> membership_auc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    require(
        len(seen) > 0 and len(unseen) > 0,
        "seen",
        "at least one loss on either side",
        (len(seen), len(unseen)),
    )
    return uncertainty.auc(seen, unseen)


def read_traces(path: Path) -> list[Trace]:
    """Return the runs that a recipe kept as a JSON list of mappings with the keys of :class:`Trace`.

    Raises:
        ValueError: a run whose lists differ in length, or whose role is unknown.
    """
    fields = Trace.__dataclass_fields__
    runs = [
        Trace(**{k: run[k] for k in fields})
        for run in json.loads(Path(path).read_text(encoding="utf-8"))
    ]
    for place, run in enumerate(runs):
        choose(f"runs[{place}].role", run.role, ("calibrate", "judge"))
        lengths = {
            len(run.steps),
            len(run.harm),
            *(len(values) for values in run.precursors.values()),
        }
        require(
            len(lengths) == 1, f"runs[{place}]", "as many values as checkpoints", sorted(lengths)
        )
    return runs


def calibrate(traces: Sequence[Trace], precursor: str) -> float:
    """Fix a threshold on the clean calibration runs: the highest value that any of them reached at any checkpoint.

    No run with a planted harm has a say, so that the alarm does not know what it looks for. With n calibration runs, a
    further clean run of the same kind rings with a chance of at most 1 / (n + 1), all its checkpoints counted: each of the
    n + 1 is equally likely to be the one that goes highest (Vovk, Gammerman and Shafer 2005, conformal prediction).

    Raises:
        ValueError: no clean run whose role is ``calibrate``, or an unknown precursor.
    """
    own = [run for run in traces if run.role == "calibrate" and not run.planted]
    require(
        len(own) > 0,
        "traces",
        "at least one clean run whose role is 'calibrate'",
        [run.role for run in traces],
    )
    return max(value for run in own for value in _values(run, precursor))


def alarm(trace: Trace, precursor: str, threshold: float) -> int | None:
    """Return the step of the first checkpoint whose precursor exceeds the threshold; None when none does.

    >>> run = Trace(True, "judge", [0, 10, 20], {"auc": [0.5, 0.7, 0.9]}, [0.0, 0.0, 0.4], 0)
    >>> alarm(run, "auc", 0.6), onset(run)
    (10, 20)
    """
    return next(
        (step for step, value in zip(trace.steps, _values(trace, precursor)) if value > threshold),
        None,
    )


def onset(trace: Trace, harm: float = HARM) -> int | None:
    """Return the step of the first checkpoint at which the harm has reached this share; None when it never does."""
    return next((step for step, value in zip(trace.steps, trace.harm) if value >= harm), None)


def score(traces: Sequence[Trace], precursor: str, threshold: float, harm: float = HARM) -> Scores:
    """Judge an alarm on the runs whose role is ``judge``.

    A planted run in which the harm never shows is no harmful run, nor a clean one: it is left out.

    Raises:
        ValueError: no harmful run or no clean one to judge on.
    """
    judged = [run for run in traces if run.role == "judge"]
    harmful = [run for run in judged if run.planted and onset(run, harm) is not None]
    clean = [run for run in judged if not run.planted]
    require(
        bool(harmful) and bool(clean),
        "traces",
        "harmful and clean runs to judge on",
        (len(harmful), len(clean)),
    )
    alarms = [(alarm(run, precursor, threshold), onset(run, harm)) for run in harmful]
    leads = tuple(shown - rung for rung, shown in alarms if rung is not None)
    detected = uncertainty.wilson(sum(lead >= 0 for lead in leads), len(harmful))
    false = sum(alarm(run, precursor, threshold) is not None for run in clean)
    return Scores(detected, uncertainty.wilson(false, len(clean)), leads, len(harmful), len(clean))


@dataclass(frozen=True)
class Price:
    """What a way of mending left and what it cost, averaged over runs.

    Attributes:
        harm: the harm that is left, in the unit of the trace.
        loss: loss on clean text beyond that of the same run unmended, in the unit of the outcomes; below 0 is a gain.
        steps: extra optimizer steps.
    """

    harm: Interval
    loss: Interval
    steps: float


def prices(outcomes: Sequence[Mapping], unmended: str = "nothing") -> dict[str, Price]:
    """Return the price of each way of mending; losses are paired run by run with those of doing nothing.

    Args:
        outcomes: mappings with keys ``seed``, ``way``, ``harm``, ``loss`` and ``extra_steps``; every way has every seed.
        unmended: the way that does nothing.

    Raises:
        ValueError: fewer than two seeds, or a way with other seeds than doing nothing.
    """
    ways = {
        way: {o["seed"]: o for o in outcomes if o["way"] == way}
        for way in dict.fromkeys(o["way"] for o in outcomes)
    }
    base = ways[choose("unmended", unmended, ways)]
    for way, runs in ways.items():
        require(
            runs.keys() == base.keys(),
            f"outcomes of {way!r}",
            f"the seeds {sorted(base)}",
            sorted(runs),
        )
    return {
        way: Price(
            uncertainty.share_interval([run["harm"] for run in runs.values()]),
            uncertainty.mean_interval(
                [run["loss"] - base[seed]["loss"] for seed, run in runs.items()]
            ),
            sum(run["extra_steps"] for run in runs.values()) / len(runs),
        )
        for way, runs in ways.items()
    }


def model_card(name: str) -> ModelCard:
    """Return the card of a bundled model, every figure in it read from the bundle (Mitchell et al. 2019).

    Args:
        name: one of the bundled CLIPs or of the ladder.
    """
    from huggingface_hub import ModelCard, ModelCardData

    entry = _entry(f"{choose('name', name, (*hub.CLIPS, *hub.LADDER))}/model.safetensors")
    data = ModelCardData(library_name="transformers", tags=["fmcourse"])
    report = bundle.path(name) / "report.json"
    measured = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    made = {
        "numbers in the weights": f"{_numbers(name):,}",
        "trained on": entry["source"],
        "recipe": entry["recipe"],
    }
    made |= {f"setting: {key}": value for key, value in entry["settings"].items()}
    use = "Made to be trained, measured and broken in class. It is small: what it does need not hold for large models."
    parts = [
        ("Intended use", use),
        ("How it was made", _table(made)),
        ("What was measured", _figures(measured)),
    ]
    parts += [("Licence and whom to name", f"{entry['licence']}; {entry['attribution']}")]
    return ModelCard(_card(data, name, parts))


def datasheet(name: str) -> DatasetCard:
    """Return the datasheet of a bundled table, every figure in it counted from its rows (Gebru et al. 2021).

    Args:
        name: one of :data:`DATASHEETS`.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    columns = DATASHEETS[choose("name", name, DATASHEETS)]
    table = {"addresses": hub.load_addresses, "adult": hub.load_adult, "emoji": hub.load_emoji}[
        name
    ]()
    files = [
        file for file in bundle.manifest() if file.startswith(name) and file.endswith(".parquet")
    ]
    licences = sorted({_entry(file)["licence"] for file in files})
    data = DatasetCardData(pretty_name=name, tags=["fmcourse"])
    parts = [("Composition", f"{len(table):,} rows; columns {', '.join(table.column_names)}.")]
    parts += [(f"Who is in it: {column}", _table(_shares(table, column))) for column in columns]
    if name == "adult":
        parts += [
            (f"Income over 50,000 dollars, by {column}", _table(_incomes(table, column)))
            for column in columns
        ]
    origins = {file: f"{_entry(file)['source']}; {_entry(file)['recipe']}" for file in files}
    return DatasetCard(
        _card(
            data,
            name,
            [*parts, ("Where it comes from", _table(origins)), ("Licence", "; ".join(licences))],
        )
    )


def stale(stored: str, fresh: str) -> list[str]:
    """Return the lines in which a stored card differs from one computed now, each with its sign; none when it is fresh.

    >>> stale("n: 3\\n", "n: 4\\n")
    ['-n: 3', '+n: 4']
    """
    lines = difflib.unified_diff(stored.splitlines(), fresh.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _values(trace: Trace, precursor: str) -> Sequence[float]:
    return trace.precursors[choose("precursor", precursor, trace.precursors)]


def _entry(file: str) -> dict:
    bundle.path(file)  # a damaged file gets no card
    return bundle.manifest()[file]


def _numbers(name: str) -> int:
    from safetensors import safe_open

    with safe_open(bundle.path(f"{name}/model.safetensors"), "pt") as weights:
        return sum(
            weights.get_tensor(key).numel()
            for key in weights.keys()
            if weights.get_tensor(key).is_floating_point()
        )


def _figures(report: Mapping[str, Mapping]) -> str:
    if not report:
        return "See the evidence rows of notebook 04 and `benchmarks/ladder.py`."
    return _table(
        {
            what: ", ".join(f"{key} {value:g}" for key, value in figures.items())
            for what, figures in report.items()
        }
    )


def _shares(table: datasets.Dataset, column: str) -> dict[str, str]:
    counts = collections.Counter(str(value).strip() or "not stated" for value in table[column])
    return {
        value: f"{count:,} ({100 * count / len(table):.1f}%)"
        for value, count in counts.most_common(8)
    }


def _incomes(table: datasets.Dataset, column: str) -> dict[str, str]:
    frame = table.select_columns([column, "income_over_50k"]).to_pandas()
    groups = frame.groupby(column)["income_over_50k"].agg(["sum", "count"])
    return {
        group: f"{uncertainty.wilson(int(high), int(count)):.3f}"
        for group, (high, count) in groups.iterrows()
    }


def _table(rows: Mapping[str, object]) -> str:
    lines = [f"| {key} | {str(value).replace('|', '/')} |" for key, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _card(data: object, name: str, parts: Sequence[tuple[str, str]]) -> str:
    sections = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in parts)
    return f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{sections}\n"
