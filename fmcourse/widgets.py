"""Sliders and text fields for the classroom: what if? Notebooks 00 to 06 have one each.

Each has a static figure beside it, for pages where no kernel runs. What a widget shows is one
``HTML`` element: some notebook hosts leave an output area blank. ipywidgets 7 and 8 both serve.
"""

import base64
import html
import io
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from ipywidgets import (
    HTML,
    Button,
    DOMWidget,
    FloatSlider,
    IntSlider,
    SelectionSlider,
    Text,
    VBox,
    dlink,
)
from PIL import Image
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from fmcourse import clip, generation, homogenization, safeguards
from fmcourse.arguments import require
from fmcourse.generation import Sample
from fmcourse.homogenization import World
from fmcourse.plots import on_white
from fmcourse.safeguards import Trace

SHOWN = 12  # tokens, pictures or steps
TOP_K = (1, 2, 3, 5, 10, 20, 50, 100, 500)  # values of the prompt box, besides all
NO_CUT = {"top_k": "all", "top_p": 1.0, "min_p": 0.0}
LONGEST_ANSWER = 16  # digits
NOTCHES = 100  # of the slider for an alarm's threshold
PIXELS = 300  # of the longest bar
TOOLTIP = "tooltip" if hasattr(DOMWidget, "tooltip") else "description_tooltip"


def answer_length_explorer(steps: Sequence[float], accuracy: Sequence[float]) -> VBox:
    """Return a slider for the length of an answer above bars: the chance that all its digits are
    right, step by step.

    Args:
        steps: when the accuracy was measured, shape (measurements,).
        accuracy: share of digits that are right, 0 to 1, shape (measurements,).
    """
    shown = list(zip(steps, map(float, accuracy)))[:: -(-len(steps) // SHOWN)]

    def chart(digits: int) -> str:
        bars = [(f"{step:g}", share**digits) for step, share in shown]
        return _bars(bars, f"Step, and the chance that all {digits} digits are right.")

    return _above(IntSlider, "digits", 4, chart, min=1, max=LONGEST_ANSWER)


def drift_explorer(scores: Mapping[str, Sequence[float]], threshold: float) -> VBox:
    """Return a slider for an alarm's threshold above bars: the share of each era's windows in which
    the alarm then fires.

    Args:
        scores: era to the distances of its windows; begin with the era in which nothing moved,
            whose bar is the false positives.
        threshold: where the slider starts; the alarm fires above it.
    """
    largest = max(max(own) for own in scores.values())

    def chart(at: float) -> str:
        fires = [(era, sum(s > at for s in own) / len(own)) for era, own in scores.items()]
        return _bars(fires, "The share of each era's windows in which the alarm fires.")

    return _above(FloatSlider, "threshold", threshold, chart, max=largest, step=largest / NOTCHES)


def shots_explorer(accuracy: Mapping[str, Sequence[float]]) -> VBox:
    """Return a slider for the number of examples of a class, above bars: how well each foundation
    is adapted with so many.

    Args:
        accuracy: foundation to its accuracies with 1, 2, ... examples of a class, shares; equally
            many for each foundation.
    """

    def chart(shots: int) -> str:
        bars = [(name, float(values[shots - 1])) for name, values in accuracy.items()]
        return _bars(bars, f"Accuracy after {shots} of each class.")

    most = min(map(len, accuracy.values()))
    return _above(IntSlider, "examples", 1, chart, min=1, max=most)


def shared_omission(by_sharing: Sequence[Sequence[World]]) -> VBox:
    """Return a slider for how many deployers leave out the same group, above what happens to each
    group: systemic failure rates, the most failed first, with error rate and H.

    Args:
        by_sharing: worlds as notebook 02 simulates them, those of one deployer first,
            then of two, and so on; several worlds each, over which all figures are averaged.
    """
    rates = [_failed_by_all(worlds) for worlds in by_sharing]
    longest = max(max(own) for own in rates)

    def chart(sharing: int) -> str:
        worlds = by_sharing[sharing - 1]
        ratio = np.mean([homogenization.homogenization(w.failures).ratio for w in worlds])
        error = np.mean([world.failures for world in worlds])
        bars = [(f"{place}.", rate) for place, rate in enumerate(rates[sharing - 1], 1)]
        said = "groups by the share of their people whom all deployers fail"
        return _bars(bars, f"Mean error {error:.1%}, H {ratio:.2f}; {said}.", longest)

    return _above(IntSlider, "sharing", 1, chart, min=1, max=len(by_sharing))


def _failed_by_all(worlds: Sequence[World]) -> list[float]:
    """Return the groups' systemic failure rates, the largest first, averaged over worlds."""
    rates = []
    for world in worlds:
        by_group = pd.Series(world.failures.all(axis=1)).groupby(world.groups).mean()
        rates.append(by_group.sort_values(ascending=False))
    return np.mean(rates, axis=0).tolist()


def alarm_explorer(traces: Sequence[Trace], precursor: str) -> VBox:
    """Return a slider for an alarm's threshold above bars: harmful runs that are warned in time,
    and clean runs in which it fires.

    Args:
        traces: runs as :func:`fmcourse.safeguards.read_traces` gives them; the slider starts where
            calibration puts it.
        precursor: what the alarm watches.
    """
    values = [value for trace in traces for value in trace.precursors[precursor]]
    low, high = min(values), max(values)

    def chart(at: float) -> str:
        found = safeguards.score(traces, precursor, at)
        said = "The alarm fires in no harmful run."
        if found.leads:
            median, least = statistics.median(found.leads), min(found.leads)
            said = f"Harmful runs in which it fires: {len(found.leads)}; "
            said += f"median lead {median:g} steps, shortest {least}."
        detected, false = found.detected.estimate, found.false_alarms.estimate
        return _bars([("warned in time", detected), ("false positives", false)], said)

    start = safeguards.calibrate(traces, precursor)
    scale = {"min": low, "max": high, "step": (high - low) / NOTCHES}
    return _above(FloatSlider, "threshold", start, chart, **scale)


def prompt_box(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, new_tokens: int = 40
) -> VBox:
    """Return a prompt that can be edited, the next token's probabilities, and a button that writes.

    Sliders set the strategy; at the start they cut nothing, so that the model is sampled plainly.
    What is written grows token by token; each press begins anew from the prompt, with new samples.

    Args:
        model, tokenizer: a causal language model.
        prompt: what to begin with; it comes back when the field is emptied.
        new_tokens: how many are written at most.
    """
    field = _control(Text, "prompt", prompt, continuous_update=False)
    slider, choice = FloatSlider, SelectionSlider
    controls = {
        "temperature": _control(slider, "temperature", 1.0, min=0.1, max=3.0),
        "top_k": _control(choice, "top-k", NO_CUT["top_k"], options=[*TOP_K, "all"]),
        "top_p": _control(slider, "top-p", NO_CUT["top_p"], min=0.05, max=1.0, step=0.05),
        "min_p": _control(slider, "min-p", NO_CUT["min_p"], max=1.0, step=0.01),
    }
    button = Button(description="write", tooltip="write")
    text, chart = _html(), _html()

    def strategy() -> Sample:
        # What cuts nothing is left out, so that rounding cuts nothing either.
        chosen = {name: control.value for name, control in controls.items()}
        return Sample(
            **{name: value for name, value in chosen.items() if value != NO_CUT.get(name)}
        )

    def redraw(change: object = None) -> None:
        # What stood here was written under other settings.
        text.value = ""
        logits = generation.next_logits(model, tokenizer, field.value or prompt)
        chart.value = _tokens(tokenizer, strategy().probabilities(logits)[0])

    def write(pressed: object) -> None:
        shown = field.value or prompt
        room = model.config.max_position_embeddings - new_tokens
        start = tokenizer(shown)["input_ids"][-room:]
        written = []
        button.disabled = True
        try:
            for token in generation.stream(model, start, strategy(), new_tokens):
                written.append(token)
                added = html.escape(str(tokenizer.decode(written)))
                text.value = f"<b>{html.escape(shown)}</b>{added}"
        finally:
            button.disabled = False

    button.on_click(write)
    for control in (field, *controls.values()):
        control.observe(redraw, names="value")
    redraw()
    return VBox([field, *controls.values(), button, text, chart])


def _tokens(tokenizer: PreTrainedTokenizerBase, probabilities: torch.Tensor) -> str:
    best = probabilities.topk(min(SHOWN, len(probabilities)))
    bars = []
    for token, share in zip(best.indices.tolist(), best.values.tolist()):
        if share > 0:
            # Blanks that can be seen: a token with its leading space is a different one.
            label = str(tokenizer.decode([token])).replace(" ", "␣").replace("\n", "↵")
            bars.append((label.replace("\t", "⇥"), share))
    kept = int((probabilities > 0).sum())
    counted = "1 token" if kept == 1 else f"{kept:,} tokens"
    return _bars(bars, f"{counted} can be sampled.")


def picture_search(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image],
    embeddings: torch.Tensor,
    query: str,
) -> VBox:
    """Return a text field above the pictures that lie nearest to what is typed.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`.
        images: the gallery.
        embeddings: its unit embeddings, shape (images, d).
        query: the text to start with.
    """
    count = len(images)
    fits = count == len(embeddings) > 0
    require(fits, "embeddings", f"one for each of the {count} images", len(embeddings))

    def found(text: str) -> str:
        cosines = embeddings @ clip.embed_texts(model, processor, [text])[0]
        near = cosines.topk(min(SHOWN, count))
        figures = [
            _figure(images[number], f"picture {number}", cosine)
            for number, cosine in zip(near.indices.tolist(), near.values.tolist())
        ]
        return "".join(figures)

    return _above(Text, "find", query, found, continuous_update=False)


def _figure(image: Image.Image, name: str, cosine: float) -> str:
    file = io.BytesIO()
    # On white: black lines on a transparent ground would vanish in a dark theme.
    on_white(image).save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        "<figure style='display:inline-block;margin:4px;text-align:center'>"
        f"<img src='data:image/png;base64,{data}' width='64' alt='{name}' title='{name}'/>"
        f"<figcaption>{cosine:.2f}</figcaption></figure>"
    )


def _control(kind: type, name: str, value, **options):
    """Return a control with room for its name, and a tooltip: without one, "null" is shown."""
    options |= {"style": {"description_width": "7em"}, TOOLTIP: name}
    return kind(value=value, description=name, **options)


def _html() -> HTML:
    return HTML(**{TOOLTIP: ""})


def _above(kind: type, name: str, value, chart: Callable[[Any], str], **options) -> VBox:
    """Return a control above what `chart` says of its value as HTML, said anew at each change."""
    control, shown = _control(kind, name, value, **options), _html()
    dlink((control, "value"), (shown, "value"), chart)
    return VBox([control, shown])


def _bars(shares: Iterable[tuple[str, float]], said: str, longest: float = 1.0) -> str:
    """Return a sentence under labelled bars; their places stay while labels and shares change."""
    rows = ""
    for label, share in shares:
        width = PIXELS * share / (longest or 1)
        rows += (
            f"<tr><td style='min-width:12em'><code>{html.escape(label)}</code></td>"
            f"<td style='min-width:{PIXELS}px'><div style='background:#0072B2;height:0.8em;"
            f"width:{width:.0f}px'></div></td><td>{share:.1%}</td></tr>"
        )
    return f"<table>{rows}</table><p>{html.escape(said)}</p>"
