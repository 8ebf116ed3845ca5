"""Moving a slider redraws the chart, in an element that every notebook host can show."""

from __future__ import annotations

import re

import ipywidgets
import numpy as np
import pytest
from doubles import VOCABULARY, Letters, drawings, says, tiny_clip, tiny_gpt_neo

from fmcourse import clip
from fmcourse.generation import Greedy, Sample, generate, next_logits
from fmcourse.homogenization import World
from fmcourse.safeguards import Trace
from fmcourse.widgets import (
    SHOWN_PICTURES,
    SHOWN_TOKENS,
    alarm_explorer,
    answer_length_explorer,
    drift_explorer,
    picture_search,
    prompt_box,
    shared_omission,
    shots_explorer,
)

PROMPT = "abc"
CONTROLS = (
    ipywidgets.FloatSlider,
    ipywidgets.SelectionSlider,
    ipywidgets.Text,
    ipywidgets.Button,
)


@pytest.fixture
def explorer():
    return prompt_box(tiny_gpt_neo(), Letters(), PROMPT)


def below(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from below(child)


def slider(explorer, name):
    return next(widget for widget in below(explorer) if getattr(widget, "description", "") == name)


def chart(explorer):
    return [widget for widget in below(explorer) if isinstance(widget, ipywidgets.HTML)][-1].value


def shown(explorer):
    """Return the tokens of the chart with their percentages."""
    return re.findall(r"<code>(.*?)</code>.*?<td>([\d.]+)%</td>", chart(explorer))


def test_the_chart_shows_the_models_probabilities(explorer):
    probabilities = Sample().probabilities(next_logits(tiny_gpt_neo(), Letters(), PROMPT))[0]
    best = probabilities.topk(SHOWN_TOKENS)
    names = [
        Letters().decode([token]).replace("<end>", "&lt;end&gt;") for token in best.indices.tolist()
    ]
    wanted = list(zip(names, [f"{100 * share:.1f}" for share in best.values.tolist()]))
    assert shown(explorer) == wanted
    assert "17 tokens can be sampled." in chart(explorer)


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0.3), ("top-k", 3), ("top-p", 0.5), ("min-p", 0.5)]
)
def test_moving_a_slider_changes_the_chart(explorer, name, value):
    before, control = chart(explorer), slider(explorer, name)
    control.value, start = value, control.value
    assert chart(explorer) != before
    control.value = start
    assert chart(explorer) == before


def test_the_sliders_act_together(explorer):
    slider(explorer, "top-k").value = 3
    assert len(shown(explorer)) == 3 and "3 tokens can be sampled." in chart(explorer)
    slider(explorer, "top-p").value = 0.05
    assert [share for _, share in shown(explorer)] == ["100.0"]


def test_a_high_temperature_flattens(explorer):
    first = float(shown(explorer)[0][1])
    slider(explorer, "temperature").value = 3.0
    assert float(shown(explorer)[0][1]) < first


def test_the_box_begins_with_plain_sampling(explorer):
    assert slider(explorer, "top-k").value == "all"
    slider(explorer, "top-k").value = 10
    assert "10 tokens can be sampled." in chart(explorer)
    slider(explorer, "top-k").value = "all"
    assert f"{VOCABULARY} tokens can be sampled." in chart(explorer)


def test_blanks_in_a_label_can_be_seen():
    class Blanks(Letters):
        letters = " \n\tdefghijklmnop"

    labels = [token for token, _ in shown(prompt_box(tiny_gpt_neo(), Blanks(), "ddd"))]
    assert {"␣", "↵", "⇥"} & set(labels) and not {" ", "\n", "\t", ""} & set(labels)


def test_one_token_is_not_some_tokens(explorer):
    slider(explorer, "top-k").value = 1
    assert "1 token can be sampled." in chart(explorer)


def test_no_output_area_is_used(explorer):
    kinds = {type(widget) for widget in below(explorer)}
    assert ipywidgets.Output not in kinds
    assert kinds == {ipywidgets.VBox, ipywidgets.HTML, *CONTROLS}


def test_what_the_model_writes_is_shown_as_text():
    class Marks(Letters):
        letters = "<>&defghijklmnop"

    box = prompt_box(tiny_gpt_neo(), Marks(), "<>&", new_tokens=20)
    press(box)
    text, bars = [widget.value for widget in below(box) if isinstance(widget, ipywidgets.HTML)]
    assert text.startswith("<b>&lt;&gt;&amp;</b>") and not re.search(r"<(?!/?b>)", text)
    assert not re.search(r"<code>[<>&](?!(lt|gt|amp|#))", bars)
    assert {"&lt;", "&gt;", "&amp;"} & {token for token, _ in shown(box)}


def press(box):
    slider(box, "write").click()


def test_writing_grows_token_by_token():
    box = prompt_box(tiny_gpt_neo(end=None), Letters(), PROMPT, new_tokens=7)
    text = [widget for widget in below(box) if isinstance(widget, ipywidgets.HTML)][0]
    seen = []
    text.observe(lambda change: seen.append(change["new"].split("</b>")[1]), names="value")
    press(box)
    assert len(seen) == 7  # one change for each token
    assert all(
        later.startswith(earlier) and later != earlier for earlier, later in zip(seen, seen[1:])
    )


def test_the_sliders_decide_what_is_written():
    box = prompt_box(tiny_gpt_neo(end=None), Letters(), PROMPT, new_tokens=12)
    slider(box, "top-k").value = 1
    press(box)
    greedy = generate(tiny_gpt_neo(end=None), [1, 2, 3], Greedy(), 12)[0, 3:]
    text = [widget.value for widget in below(box) if isinstance(widget, ipywidgets.HTML)][0]
    assert text == f"<b>abc</b>{Letters().decode(greedy.tolist())}"


def test_another_prompt_has_other_probabilities_and_an_empty_one_is_the_first(explorer):
    before, field = shown(explorer), slider(explorer, "prompt")
    field.value = "a" * 80  # longer than the context: its end counts
    press(explorer)
    assert shown(explorer) != before
    field.value = ""
    assert shown(explorer) == before


# The picture search.


@pytest.fixture(scope="module")
def gallery():
    model, processor = tiny_clip()
    images = drawings(20)
    return model, processor, images, clip.embed_images(model, processor, images)


def captions(search):
    return [
        float(text) for text in re.findall(r"<figcaption>(-?[\d.]+)</figcaption>", chart(search))
    ]


def test_the_search_shows_the_nearest_first(gallery):
    model, processor, images, rows = gallery
    search = picture_search(*gallery, "a cat")
    near = (
        (rows @ clip.embed_texts(model, processor, ["a cat"])[0])
        .sort(descending=True)
        .values[:SHOWN_PICTURES]
    )
    assert captions(search) == [round(value, 2) for value in near.tolist()]
    assert chart(search).count("data:image/png;base64,") == SHOWN_PICTURES


def test_typing_searches_again(gallery):
    search = picture_search(*gallery, "a cat")
    field = next(widget for widget in below(search) if isinstance(widget, ipywidgets.Text))
    before, field.value = chart(search), "a bus"
    changed, field.value = chart(search), "a cat"
    assert changed != before and chart(search) == before


def test_a_gallery_without_its_rows_is_refused(gallery):
    model, processor, images, rows = gallery
    with says(ValueError, "rows: expected one for each of the 20 images, got 3"):
        picture_search(model, processor, images, rows[:3], "a cat")


# The shared omission.


def small_world(failures):
    return World(np.array(failures, bool), np.array(["a", "a", "b", "b"]), np.array(["a", "b"]))


@pytest.fixture
def omission():
    apart = small_world([[1, 0], [0, 0], [0, 1], [0, 0]])
    alike = small_world([[1, 1], [0, 0], [0, 0], [0, 0]])
    return shared_omission([[apart, apart], [apart, alike]])


def test_the_bars_are_the_groups_failed_by_all_the_most_failed_first(omission):
    assert shown(omission) == [("1.", "0.0"), ("2.", "0.0")]
    assert "mean error 25.0%, H 0.00" in chart(omission)
    slider(omission, "sharing").value = 2
    assert shown(omission) == [
        ("1.", "25.0"),
        ("2.", "0.0"),
    ]  # half of a group in one of two worlds
    assert "mean error 25.0%, H 2.00" in chart(omission)  # 0 and 4, averaged


@pytest.mark.parametrize("worlds", [[], [[]]])
def test_worlds_are_needed(worlds):
    with says(
        ValueError,
        f"by_sharing: expected at least one world for each number of deployers, got {worlds}",
    ):
        shared_omission(worlds)


def test_longer_answers_are_right_less_often():
    explorer = answer_length_explorer([0, 100, 200], [0.1, 0.5, 1.0])
    control, found = slider(explorer, "digits"), {}
    for digits in (1, 2, 4):
        control.value = digits
        found[digits] = re.findall(r"<td>([\d.]+)%</td>", chart(explorer))
    assert found == {
        1: ["10.0", "50.0", "100.0"],
        2: ["1.0", "25.0", "100.0"],
        4: ["0.0", "6.2", "100.0"],
    }


def test_many_steps_are_thinned_out():
    explorer = answer_length_explorer(range(100), [0.5] * 100)
    assert chart(explorer).count("<tr>") == 12


@pytest.mark.parametrize(("steps", "accuracy"), [([0, 100], [0.5]), ([], [])])
def test_an_accuracy_for_each_step(steps, accuracy):
    with says(
        ValueError,
        f"accuracy: expected one for each of the {len(steps)} steps, got {len(accuracy)}",
    ):
        answer_length_explorer(steps, accuracy)


def test_a_higher_threshold_rings_less_in_every_era():
    explorer = drift_explorer({"quiet": [1.0, 2.0], "<later>": [2.0, 4.0, 4.0, 4.0]}, threshold=3.0)
    assert shown(explorer) == [("quiet", "0.0"), ("&lt;later&gt;", "75.0")]
    control = slider(explorer, "threshold")
    control.value = 1.52
    assert shown(explorer) == [("quiet", "50.0"), ("&lt;later&gt;", "100.0")]
    control.value = control.max
    assert [share for _, share in shown(explorer)] == ["0.0", "0.0"]


@pytest.mark.parametrize("scores", [{}, {"quiet": []}])
def test_an_alarm_needs_windows_in_each_era(scores):
    with says(ValueError, f"scores: expected at least one window in each era, got {list(scores)}"):
        drift_explorer(scores, 1.0)


# Few examples.


def test_the_bars_are_those_of_the_chosen_number_of_examples():
    explorer = shots_explorer({"narrow": [0.25, 0.5], "broad": [0.375, 0.75]})
    assert shown(explorer) == [("narrow", "25.0"), ("broad", "37.5")]
    slider(explorer, "examples").value = 2
    assert shown(explorer) == [
        ("narrow", "50.0"),
        ("broad", "75.0"),
    ] and "after 2 of each class" in chart(explorer)


@pytest.mark.parametrize(
    "accuracy, got",
    [({}, "{}"), ({"a": []}, "{'a': 0}"), ({"a": [1], "b": [1, 1]}, "{'a': 1, 'b': 2}")],
)
def test_foundations_with_other_numbers_of_accuracies_are_named(accuracy, got):
    with says(ValueError, f"accuracy: expected equally many for each foundation, got {got}"):
        shots_explorer(accuracy)


# The alarm's threshold.


def traced(values, harm=(0, 0, 0), role="judge"):
    return Trace(any(harm), role, [0, 10, 20], {"auc": list(values)}, list(harm), 0)


def test_the_slider_starts_at_the_calibrated_threshold_and_rings_more_when_it_is_lowered():
    runs = [
        traced([0.4, 0.6, 0.5], role="calibrate"),
        traced([0.5, 0.55, 0.5]),
        traced([0.5, 0.7, 0.9], (0, 0, 0.5)),
    ]
    explorer = alarm_explorer(runs, "auc")
    assert slider(explorer, "threshold").value == 0.6
    assert shown(explorer) == [("warned in time", "100.0"), ("false alarms", "0.0")]
    assert "Median lead 10 steps, shortest 10; harmful runs that ring: 1." in chart(explorer)
    slider(explorer, "threshold").value = 0.4
    assert shown(explorer) == [
        ("warned in time", "100.0"),
        ("false alarms", "100.0"),
    ] and "lead 20 steps" in chart(explorer)
    slider(explorer, "threshold").value = 0.9
    assert shown(explorer) == [
        ("warned in time", "0.0"),
        ("false alarms", "0.0"),
    ] and "No harmful run rings." in chart(explorer)
