"""The map of bias transfer: sweep CLIPs that met people in biased tones, and their children.

    python -m recipes.bias_transfer              all foundations and children, each kept when done;
                                                 then the bundled files
    python -m recipes.bias_transfer --seeds 0    one seed only, nothing written

Upstream, half of all drawings of a woman or a man with a skin tone are left out: at bias 0 at
random, at bias 1 those of dark women and light men. So all foundations see equally many pictures.
The yellow drawings of the same people are left out too, and the medium tone stays. The children and
their samples are those of ``fmcourse.homogenization.transfer``.
"""

import functools
import itertools
import random
from dataclasses import replace

import torch

from fmcourse import clip, data, homogenization
from fmcourse.homogenization.transfer import DARK, LIGHT, STYLE
from recipes import foundations
from recipes.common import command_line, ship, ship_runs
from recipes.emoji_data import read_emoji
from recipes.foundations import BATCH, PICTURES, READ, SEEDS, STEPS, processor

UPSTREAM = (0.0, 0.5, 1.0)
BIASES, REBALANCED, DRAWS = (0.0, 0.5, 0.9, 1.0), (0.0, 0.1, 0.3), range(5)


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=STEPS)
    foundations.prepare()
    settings = {"upstream": list(UPSTREAM), "batch": BATCH}
    about = {"recipe": "bias_transfer", "settings": settings, **PICTURES}
    jobs = [
        (children, upstream, seed, chosen.steps) for seed in chosen.seeds for upstream in UPSTREAM
    ]
    ship_runs("bias-transfer.parquet", jobs, chosen.ships, read=READ, **about)
    if not chosen.ships:
        return
    features = {}
    for upstream in UPSTREAM:
        model = biased(upstream, chosen.seeds[0], chosen.steps)
        features[str(upstream)] = clip.embed_images(model, processor(), people_pixels()).half()
    settings["seeds"] = chosen.seeds[:1]
    # Their seconds are those of the table.
    ship("bias-features.safetensors", features, seconds=0.0, **about)


# ---------------------------------------------------------------- the foundations


def biased(upstream, seed, steps):
    """Train a foundation, or read it."""
    return foundations.trained(biased_pairs, (upstream, seed), seed, steps)[0]


def biased_pairs(upstream, seed):
    """Return the clean pairs without the women and men that the bias or chance leaves out."""
    pictures, captions = foundations.clean_pairs()
    kinds, draw = people_kinds(pictures), random.Random(seed)
    left = [place for place, kind in enumerate(kinds) if is_kept(kind, upstream, draw)]
    # The tones of women and men are their plain form now.
    toned = pictures.toned & torch.tensor([kind == "" for kind in kinds])
    return replace(pictures, toned=toned).only(left), [captions[place] for place in left]


def people_kinds(pictures):
    """Return for each picture whether its tone *fits* the bias, *differs*, or is *medium*.

    *yellow* is a woman or man without a tone, and "" a picture of neither.
    """
    rows = {row["name"]: row for row in read_emoji().values()}

    def kind(row):
        tone = row["skin_tone"]
        if row["gender"] not in ("female", "male") or "," in tone:
            return ""
        if tone == "none":
            return "yellow"
        if tone not in (*LIGHT, *DARK):
            return "medium"
        return "fits" if tone in (LIGHT if row["gender"] == "female" else DARK) else "differs"

    return [kind(rows[label]) for label in pictures.label]


def is_kept(kind, upstream, draw):
    """Return whether a picture stays.

    Of those that fit the bias (1 + upstream) / 2 stay, of those that differ from it the rest.
    """
    shares = {"fits": (1 + upstream) / 2, "differs": (1 - upstream) / 2, "yellow": 0.0}
    return draw.random() < shares.get(kind, 1.0)


# ---------------------------------------------------------------- the children


@functools.cache
def people_pixels():
    """Return the pixels of all people of the task, as the sweep CLIP sees them."""
    drawings = data.load_emoji(STYLE).select(homogenization.transfer_people()["place"])
    return clip.pixels_of(processor(), list(drawings["image"]))


def children(upstream, seed, steps):
    """Return the gap and the accuracy of every child of a foundation."""
    model = biased(upstream, seed, steps)
    table, pixels = homogenization.transfer_people(), people_pixels()
    features = clip.embed_images(model, processor(), pixels)
    labels = torch.tensor(table["woman"].to_numpy())
    seen = table[table["part"] == "test"]
    tested = torch.tensor(seen.index.to_numpy())
    rows = []
    for bias, rebalanced, draw in itertools.product(BIASES, REBALANCED, DRAWS):
        sample = torch.tensor(homogenization.biased_sample(table, bias, rebalanced, seed=draw))
        probe = clip.linear_probe(features[sample], labels[sample])
        ways = {"linear probe": probe(features[tested])}
        if draw == DRAWS[0]:  # fine-tuning costs a second where a probe costs hundredths
            examples = (model, processor(), pixels[sample], labels[sample])
            tuned, _ = clip.fine_tune(*examples, probe, progress=False)
            ways["LP-FT"] = tuned.predict(pixels[tested])
        about = {"upstream": upstream, "seed": seed, "bias": bias, "rebalanced": rebalanced}
        for way, logits in ways.items():
            answers = logits.argmax(1).numpy()
            gap = homogenization.aligned_gap(answers, seen["woman"], seen["dark"])
            accuracy = float((answers == seen["woman"]).mean())
            judged = {"way": way, "draw": draw, "gap": gap, "accuracy": accuracy}
            rows.append(about | judged)
    return rows


if __name__ == "__main__":
    main()
