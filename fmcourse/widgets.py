"""What if? Sliders for the classroom; each has a static figure beside it, for pages where no kernel runs.

They write into one ``HTML`` element instead of an output area, which some notebook hosts leave blank.
"""

from __future__ import annotations

import base64
import html
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fmcourse import clip, generation, homogenization, safeguards
from fmcourse.arguments import require
from fmcourse.generation import Sample

if TYPE_CHECKING:
    import ipywidgets
    import torch
    from PIL import Image
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

    from fmcourse.homogenization import World
    from fmcourse.safeguards import Trace

__all__ = [
    "alarm_explorer",
    "answer_length_explorer",
    "drift_explorer",
    "picture_search",
    "prompt_box",
    "shared_omission",
    "shots_explorer",
]

SHOWN_TOKENS = 12
TOP_K = (1, 2, 3, 5, 10, 20, 50, 100, 500)  # values of the prompt box, besides all
SHOWN_PICTURES = 12
SHOWN_STEPS = 12
LONGEST_ANSWER = 16  # digits
NOTCHES = 40  # of the slider for an alarm's threshold


def answer_length_explorer(steps: Sequence[float], accuracy: Sequence[float]) -> ipywidgets.VBox:
    """Return a slider for the length of an answer above bars: the chance that all its digits are right, step by step.

    Args:
        steps: when the accuracy was measured, shape (measurements,).
        accuracy: share of digits that are right, 0 to 1, shape (measurements,).
    """
    import ipywidgets

    require(
        len(steps) == len(accuracy) > 0,
        "accuracy",
        f"one for each of the {len(steps)} steps",
        len(accuracy),
    )
    slider = ipywidgets.IntSlider(4, min=1, max=LONGEST_ANSWER, description="digits")

    def chart() -> str:
        shown = range(0, len(steps), -(-len(steps) // SHOWN_STEPS))
        bars = _bars(
            [(f"{steps[place]:g}", float(accuracy[place]) ** slider.value) for place in shown]
        )
        return f"{bars}<p>Step, and the chance that all {slider.value} digits are right.</p>"

    return _above(slider, chart)


def _above(control: ipywidgets.ValueWidget, chart: Callable[[], str]) -> ipywidgets.VBox:
    """Return a control above what `chart` says as HTML, said anew whenever the control's value changes."""
    import ipywidgets

    shown = ipywidgets.HTML()

    def redraw(change: object = None) -> None:
        shown.value = chart()

    control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([control, shown])


def drift_explorer(scores: Mapping[str, Sequence[float]], threshold: float) -> ipywidgets.VBox:
    """Return a slider for an alarm's threshold above bars: in which share of each era's windows the alarm then rings.

    Args:
        scores: era to the distances of its windows; begin with the era in which nothing moved, whose bar is the false alarms.
        threshold: where the slider starts; the alarm rings above it.
    """
    import ipywidgets

    require(
        len(scores) > 0 and all(len(own) for own in scores.values()),
        "scores",
        "at least one window in each era",
        list(scores),
    )
    largest = max(max(own) for own in scores.values())
    slider = ipywidgets.FloatSlider(
        threshold, min=0.0, max=largest, step=largest / 100, description="threshold"
    )

    def chart() -> str:
        rings = [
            (era, sum(score > slider.value for score in own) / len(own))
            for era, own in scores.items()
        ]
        return f"{_bars(rings)}<p>The share of each era's windows in which the alarm rings.</p>"

    return _above(slider, chart)


def prompt_box(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, new_tokens: int = 40
) -> ipywidgets.VBox:
    """Return a prompt that can be edited, the next token's probabilities, and a button that writes.

    Sliders set the strategy; at the start they cut nothing, so that the model is sampled plainly.
    What is written grows token by token; each press begins anew from the prompt, with new samples.

    Args:
        model, tokenizer: a causal language model, or a :class:`fmcourse.generation.Decoder` of one.
        prompt: what to begin with; it comes back when the field is emptied.
        new_tokens: how many are written at most.
    """
    import ipywidgets

    field = ipywidgets.Text(prompt, description="prompt", continuous_update=False)
    slider = ipywidgets.FloatSlider
    controls = {
        "temperature": slider(1.0, min=0.1, max=3.0, step=0.1, description="temperature"),
        "top_k": ipywidgets.SelectionSlider(
            options=[*TOP_K, "all"], value="all", description="top-k"
        ),
        "top_p": slider(1.0, min=0.05, max=1.0, step=0.05, description="top-p"),
        "min_p": slider(0.0, min=0.0, max=1.0, step=0.01, description="min-p"),
    }
    button = ipywidgets.Button(description="write")
    text, chart = ipywidgets.HTML(), ipywidgets.HTML()

    def strategy() -> Sample:
        chosen = {name: control.value for name, control in controls.items()}
        # What cuts nothing is left out, so that rounding cuts nothing either.
        chosen["top_k"] = chosen["top_k"] if chosen["top_k"] != "all" else None
        chosen["min_p"] = chosen["min_p"] or None
        chosen["top_p"] = chosen["top_p"] if chosen["top_p"] < 1 else None
        return Sample(**chosen)

    def redraw(change: object = None) -> None:
        logits = generation.next_logits(model, tokenizer, field.value or prompt)
        chart.value = _chart(tokenizer, strategy().probabilities(logits)[0])

    def write(pressed: object) -> None:
        shown = field.value or prompt
        room = model.config.max_position_embeddings - new_tokens
        start = tokenizer(shown)["input_ids"][-room:]
        written: list[int] = []
        for token in generation.stream(model, start, strategy(), new_tokens):
            written.append(token)
            added = html.escape(tokenizer.decode(written))
            text.value = f"<b>{html.escape(shown)}</b>{added}"

    button.on_click(write)
    for control in (field, *controls.values()):
        control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([field, *controls.values(), button, text, chart])


def _chart(tokenizer: PreTrainedTokenizerBase, probabilities: torch.Tensor) -> str:
    best = probabilities.topk(min(SHOWN_TOKENS, len(probabilities)))
    bars = []
    for token, share in zip(best.indices.tolist(), best.values.tolist()):
        if share > 0:
            # Blanks that can be seen: a token with its leading space is a different one.
            label = tokenizer.decode([token]).replace(" ", "␣").replace("\n", "↵")
            bars.append((label.replace("\t", "⇥"), share))
    kept = int((probabilities > 0).sum())
    counted = "1 token" if kept == 1 else f"{kept:,} tokens"
    return f"{_bars(bars)}<p>{counted} can be sampled.</p>"


def _bars(shares: Sequence[tuple[str, float]], pixels: int = 300) -> str:
    """Return a table of labelled bars; a share of 1 is `pixels` wide."""
    rows = [
        f"<tr><td><code>{html.escape(label)}</code></td>"
        f"<td><div style='background:#0072B2;height:0.8em;width:{pixels * share:.0f}px'></div></td><td>{share:.1%}</td></tr>"
        for label, share in shares
    ]
    return f"<table>{''.join(rows)}</table>"


def picture_search(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image],
    rows: torch.Tensor,
    query: str,
) -> ipywidgets.VBox:
    """Return a text field above the pictures that lie nearest to what is typed.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`.
        images: the gallery.
        rows: its unit rows, shape (images, d).
        query: the text to start with.
    """
    import ipywidgets

    require(
        len(images) == len(rows) > 0, "rows", f"one for each of the {len(images)} images", len(rows)
    )
    field = ipywidgets.Text(query, description="find", continuous_update=False)

    def found() -> str:
        try:
            text = clip.embed_texts(model, processor, [field.value])[0]
        except ValueError as error:  # nothing typed, or words that the model cannot read
            return html.escape(str(error))
        near = (rows @ text).topk(min(SHOWN_PICTURES, len(rows)))
        places = zip(near.indices.tolist(), near.values.tolist())
        return "".join(_figure(images[place], f"{nearness:.2f}") for place, nearness in places)

    return _above(field, found)


def _figure(image: Image.Image, caption: str) -> str:
    file = io.BytesIO()
    image.convert("RGBA").save(file, format="PNG")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return (
        f"<figure style='display:inline-block;margin:4px;text-align:center'><img src='{source}' width='64' alt=''/>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def shared_omission(by_sharing: Sequence[Sequence[World]]) -> ipywidgets.VBox:
    """Return a slider for how many deployers leave out the same group, above what happens to each group.

    Args:
        by_sharing: worlds of :func:`fmcourse.homogenization.simulate`, those of one deployer first, then of two, and so on;
            several worlds each, over which all figures are averaged.
    """
    import ipywidgets

    require(
        len(by_sharing) > 0 and all(by_sharing),
        "by_sharing",
        "at least one world for each number of deployers",
        by_sharing,
    )
    slider = ipywidgets.IntSlider(1, min=1, max=len(by_sharing), description="sharing")

    def chart() -> str:
        return _groups_chart(by_sharing[slider.value - 1])

    return _above(slider, chart)


def _groups_chart(worlds: Sequence[World]) -> str:
    """Return the groups' systemic failure rates as bars, the most failed first, under error rate and H."""
    rates = [
        sorted(
            (i.estimate for i in homogenization.group_failure(w.failures, w.groups).values()),
            reverse=True,
        )
        for w in worlds
    ]
    ratio = sum(homogenization.homogenization(world.failures).ratio for world in worlds) / len(
        worlds
    )
    error = sum(world.failures.mean() for world in worlds) / len(worlds)
    bars = [(f"{place}.", sum(column) / len(worlds)) for place, column in enumerate(zip(*rates), 1)]
    said = f"<p>mean error {error:.1%}, H {ratio:.2f}; groups by the share of their people whom all deployers fail:</p>"
    return said + _bars(bars, pixels=3_000)


def shots_explorer(accuracy: Mapping[str, Sequence[float]]) -> ipywidgets.VBox:
    """Return a slider for the number of examples of a class, above bars: how well each foundation is adapted with so many.

    Args:
        accuracy: foundation to its accuracies with 1, 2, ... examples of a class, shares; equally many for each foundation.
    """
    import ipywidgets

    counts = {name: len(values) for name, values in accuracy.items()}
    require(
        len(set(counts.values())) == 1 and 0 not in counts.values(),
        "accuracy",
        "equally many for each foundation",
        counts,
    )
    slider = ipywidgets.IntSlider(1, min=1, max=min(counts.values()), description="examples")

    def chart() -> str:
        bars = _bars([(name, float(values[slider.value - 1])) for name, values in accuracy.items()])
        return f"{bars}<p>Accuracy after {slider.value} of each class.</p>"

    return _above(slider, chart)


def alarm_explorer(traces: Sequence[Trace], precursor: str) -> ipywidgets.VBox:
    """Return a slider for an alarm's threshold above bars: harmful runs that are warned in time, and clean runs that ring.

    Args:
        traces: runs as :func:`fmcourse.safeguards.read_traces` gives them; the slider starts where calibration puts it.
        precursor: what the alarm listens to.
    """
    import ipywidgets

    start = safeguards.calibrate(traces, precursor)
    values = [value for trace in traces for value in trace.precursors[precursor]]
    notch = (max(values) - min(values)) / NOTCHES
    slider = ipywidgets.FloatSlider(
        start, min=min(values), max=max(values), step=notch, description="threshold"
    )

    def chart() -> str:
        found = safeguards.score(traces, precursor, slider.value)
        bars = _bars(
            [
                ("warned in time", found.detected.estimate),
                ("false alarms", found.false_alarms.estimate),
            ]
        )
        return f"{bars}<p>{_leads(found.leads)}</p>"

    return _above(slider, chart)


def _leads(leads: Sequence[int]) -> str:
    if not leads:
        return "No harmful run rings."
    return f"Median lead {statistics.median(leads):g} steps, shortest {min(leads)}; harmful runs that ring: {len(leads)}."
