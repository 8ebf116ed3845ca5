"""Moving a slider redraws the chart, in an element that every notebook host can show."""

import base64
import io
import re

import ipywidgets
import numpy as np
import pytest
from doubles import CASES, VOCABULARY, Letters, drawings, refused, tiny_clip, tiny_gpt_neo
from PIL import Image

from fmcourse import clip, widgets
from fmcourse.generation import Greedy, Sample, generate, next_logits
from fmcourse.homogenization import World
from fmcourse.safeguards import Trace
from fmcourse.widgets import SHOWN, picture_search, prompt_box

PROMPT = "abc"


def box_of(letters="abcdefghijklmnop", prompt=PROMPT, **options):
    tokenizer = Letters()
    tokenizer.letters = letters
    return prompt_box(tiny_gpt_neo(end=None), tokenizer, prompt, **options)


def control(widget, name):
    return next(each for each in widget.children if getattr(each, "description", "") == name)


def html_of(widget):
    return [each for each in widget.children if isinstance(each, ipywidgets.HTML)]


def chart(widget):
    return html_of(widget)[-1].value


def shown(widget):
    """Return the labels of the bars with their percentages."""
    return re.findall(r"<code>(.*?)</code>.*?<td>([\d.]+)%</td>", chart(widget))


def test_the_box_begins_with_the_models_own_probabilities():
    box = box_of()
    probabilities = Sample().probabilities(next_logits(tiny_gpt_neo(), Letters(), PROMPT))[0]
    best = probabilities.topk(SHOWN)
    names = [Letters().decode([token]) for token in best.indices.tolist()]
    shares = [f"{100 * share:.1f}" for share in best.values.tolist()]
    assert [label.replace("&lt;end&gt;", "<end>") for label, _ in shown(box)] == names
    assert [share for _, share in shown(box)] == shares
    assert f"{VOCABULARY} tokens can be sampled." in chart(box)


def test_the_sliders_change_the_chart():
    box = box_of()
    control(box, "top-k").value = 3
    assert len(shown(box)) == 3 and "3 tokens can be sampled." in chart(box)
    control(box, "top-p").value = 0.05
    assert [share for _, share in shown(box)] == ["100.0"]
    assert "1 token can be sampled." in chart(box)


def test_blanks_in_a_label_can_be_seen():
    labels = [token for token, _ in shown(box_of(" \n\tdefghijklmnop", "ddd"))]
    assert {"␣", "↵", "⇥"} & set(labels) and not {" ", "\n", "\t", ""} & set(labels)


def test_what_the_model_writes_is_shown_as_text():
    box = box_of("<>&defghijklmnop", "<>&", new_tokens=20)
    control(box, "write").click()
    text, bars = (each.value for each in html_of(box))
    assert text.startswith("<b>&lt;&gt;&amp;</b>") and not re.search(r"<(?!/?b>)", text)
    assert not re.search(r"<code>[<>&](?!(lt|gt|amp|#))", bars)


def test_writing_shows_each_token_and_blocks_the_button():
    box = box_of(new_tokens=7)
    button, seen = control(box, "write"), []
    text = html_of(box)[0]
    text.observe(lambda change: seen.append((change["new"], button.disabled)), names="value")
    control(box, "top-k").value = 1
    button.click()
    greedy = generate(tiny_gpt_neo(end=None), [1, 2, 3], Greedy(), 7)[0, 3:].tolist()
    parts = [f"<b>abc</b>{Letters().decode(greedy[:count])}" for count in range(1, 8)]
    assert seen == [(part, True) for part in parts] and not button.disabled
    # What was written does not stay under a new prompt.
    control(box, "prompt").value = "ba"
    assert text.value == ""


def test_a_different_prompt_has_its_own_probabilities_and_an_empty_one_is_the_first():
    box = box_of()
    before, field = shown(box), control(box, "prompt")
    field.value = "a" * 80  # longer than the context: its end counts
    control(box, "write").click()
    assert shown(box) != before
    field.value = ""
    assert shown(box) == before


# The picture search.


@pytest.fixture(scope="module")
def gallery():
    model, processor = tiny_clip()
    images = drawings(20)
    images[3] = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    return model, processor, images, clip.embed_images(model, processor, images)


def test_the_search_shows_the_nearest_first_on_white(gallery):
    model, processor, images, embeddings = gallery
    search = picture_search(*gallery, "a bus")
    control(search, "find").value = "a cat"
    cosines = embeddings @ clip.embed_texts(model, processor, ["a cat"])[0]
    near = cosines.argsort(descending=True)[:SHOWN]
    captions = re.findall(r"<figcaption>(-?[\d.]+)</figcaption>", chart(search))
    assert captions == [f"{cosine:.2f}" for cosine in cosines[near].tolist()]
    alts = re.findall(r"alt='(.*?)'", chart(search))
    assert alts == [f"picture {number}" for number in near.tolist()]
    data = re.search(r"base64,([^']+)'", widgets._figure(images[3], "", 0.0))[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).getextrema()[0] == (255, 255)


# Sliders over what was measured.


def world(failures):
    return World(np.array(failures, bool), np.array(["a", "a", "b", "b"]), np.array(["a", "b"]))


def omission():
    apart = world([[1, 0], [0, 0], [0, 1], [0, 0]])
    alike = world([[1, 1], [0, 0], [0, 0], [0, 0]])
    return widgets.shared_omission([[apart, apart], [apart, alike]])


def answers():
    return widgets.answer_length_explorer([0, 100, 200], [0.1, 0.5, 1.0])


def drift():
    return widgets.drift_explorer({"quiet": [1.0, 2.0], "<later>": [2.0, 4, 4, 4]}, threshold=3.0)


def shots():
    return widgets.shots_explorer({"narrow": [0.25, 0.5], "broad": [0.375, 0.75]})


def alarm():
    def run(values, harm=(0, 0, 0), role="judge"):
        return Trace(any(harm), role, [0, 10, 20], {"auc": values}, list(harm), 0)

    calibration, clean = run([0.4, 0.6, 0.5], role="calibrate"), run([0.5, 0.55, 0.5])
    return widgets.alarm_explorer([calibration, clean, run([0.5, 0.7, 0.9], (0, 0, 0.5))], "auc")


@pytest.mark.parametrize("make, name, value, bars, said", CASES["widgets"]["settings"])
def test_the_bars_follow_the_slider(make, name, value, bars, said):
    widget = globals()[make]()
    slider = control(widget, name)
    slider.value = slider.value if value == "none" else value
    assert {label: float(share) for label, share in shown(widget)} == bars
    assert said in chart(widget)


def test_a_search_has_an_embedding_for_each_picture():
    with refused("embeddings", "one for each of the 1"):
        picture_search(None, None, drawings(1), [0, 0], "x")
