"""What if? Sliders for the classroom; each has a static figure beside it, for pages where no kernel runs.

They write into one ``HTML`` element instead of an output area, which some notebook hosts leave blank.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmcourse import clip, generation
from fmcourse.arguments import require
from fmcourse.generation import Sample

if TYPE_CHECKING:
    import ipywidgets
    import torch
    from PIL import Image
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

__all__ = ["answer_length_explorer", "next_token_explorer", "picture_search"]

SHOWN_TOKENS = 12
SHOWN_PICTURES = 12
SHOWN_STEPS = 12
LONGEST_ANSWER = 16  # digits


def answer_length_explorer(steps: Sequence[float], accuracy: Sequence[float]) -> ipywidgets.VBox:
    """Return a slider for the length of an answer above bars: the chance that all its digits are right, step by step.

    Args:
        steps: when the accuracy was measured, shape (measurements,).
        accuracy: share of digits that are right, 0 to 1, shape (measurements,).
    """
    import ipywidgets

    require(len(steps) == len(accuracy) > 0, "accuracy", f"one for each of the {len(steps)} steps", len(accuracy))
    slider = ipywidgets.IntSlider(4, min=1, max=LONGEST_ANSWER, description="digits")
    chart = ipywidgets.HTML()

    def redraw(change: object = None) -> None:
        shown = range(0, len(steps), -(-len(steps) // SHOWN_STEPS))
        rows = [_bar(f"{steps[place]:g}", float(accuracy[place]) ** slider.value) for place in shown]
        chart.value = f"<table>{''.join(rows)}</table><p>Step, and the chance that all {slider.value} digits are right.</p>"

    slider.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([slider, chart])


def _bar(label: str, share: float) -> str:
    """Return one row of a table: a label, a bar and a share."""
    return (
        f"<tr><td>{label}</td><td><div style='background:#0072B2;height:0.8em;width:{300 * share:.0f}px'></div></td>"
        f"<td>{share:.1%}</td></tr>"
    )


def next_token_explorer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str) -> ipywidgets.VBox:
    """Return sliders for temperature, top-k and top-p above a bar chart of the next token's probabilities."""
    import ipywidgets

    logits = generation.next_logits(model, tokenizer, prompt)
    controls = {
        "temperature": ipywidgets.FloatSlider(1.0, min=0.1, max=3.0, step=0.1, description="temperature"),
        "top_k": ipywidgets.IntSlider(50, min=1, max=50, description="top-k"),
        "top_p": ipywidgets.FloatSlider(1.0, min=0.05, max=1.0, step=0.05, description="top-p"),
    }
    chart = ipywidgets.HTML()

    def redraw(change: object = None) -> None:
        chosen = {name: control.value for name, control in controls.items()}
        chart.value = _chart(tokenizer, Sample(**chosen).probabilities(logits)[0])

    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([ipywidgets.HTML(f"<b>{html.escape(prompt)}</b> ..."), *controls.values(), chart])


def _chart(tokenizer: PreTrainedTokenizerBase, probabilities: torch.Tensor) -> str:
    best = probabilities.topk(SHOWN_TOKENS)
    rows = [
        _bar(f"<code>{html.escape(tokenizer.decode([token]))}</code>", share)
        for token, share in zip(best.indices.tolist(), best.values.tolist())
        if share > 0
    ]
    kept = int((probabilities > 0).sum())
    counted = "1 token" if kept == 1 else f"{kept} tokens"
    return f"<table>{''.join(rows)}</table><p>{counted} can be drawn.</p>"


def picture_search(
    model: PreTrainedModel, processor: ProcessorMixin, images: Sequence[Image.Image], rows: torch.Tensor, query: str
) -> ipywidgets.VBox:
    """Return a text field above the pictures that lie nearest to what is typed.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`.
        images: the gallery.
        rows: its unit rows, shape (images, d).
        query: the text to start with.
    """
    import ipywidgets

    require(len(images) == len(rows) > 0, "rows", f"one for each of the {len(images)} images", len(rows))
    field = ipywidgets.Text(query, description="find", continuous_update=False)
    found = ipywidgets.HTML()

    def search(change: object = None) -> None:
        near = (rows @ clip.embed_texts(model, processor, [field.value])[0]).topk(min(SHOWN_PICTURES, len(rows)))
        places = zip(near.indices.tolist(), near.values.tolist())
        found.value = "".join(_figure(images[place], f"{nearness:.2f}") for place, nearness in places)

    field.observe(search, names="value")
    search()
    return ipywidgets.VBox([field, found])


def _figure(image: Image.Image, caption: str) -> str:
    file = io.BytesIO()
    image.convert("RGBA").save(file, format="PNG")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return (
        f"<figure style='display:inline-block;margin:4px;text-align:center'><img src='{source}' width='64' alt=''/>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
