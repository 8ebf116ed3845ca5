"""What CLIP forgets when it learns to read handwritten digits, and six remedies, for notebook 03.

    python -m recipes.clip_forgetting               run ten seeds, each kept when done, and write
                                                    the table
    python -m recipes.clip_forgetting --seeds 90    run this seed alone, print it, write nothing

A seed draws the digits to learn from, the drawings that are named, and the batches. The new task is
scikit-learn's handwritten digits; the old one is to name 400 known drawings among their 400 names.
Alpha is chosen on digits and drawings of the parts "choose", and only the other parts are reported.

Sources: Ilharco et al. 2022, arXiv 2208.05592 (patching by interpolation); Wortsman et al. 2022,
arXiv 2109.01903; Hu et al. 2022, arXiv 2106.09685 (LoRA); Rolnick et al. 2019, arXiv 1811.11682
(replay). Digits: UCI Optical Recognition of Handwritten Digits, CC BY 4.0.
"""

import functools

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional

import fmcourse
from fmcourse import clip, data, training
from fmcourse.clip import adaptation
from fmcourse.clip.embedding import encode_pixels
from recipes.common import command_line, ship_runs

SEEDS = range(10)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LEARNT, CHOOSING = 1_200, 200  # digits; those that are left are reported
NAMES, NAMES_CHOOSING, REPLAYED = 400, 200, 100  # drawings, in Noto
ALPHAS = tuple(tenth / 10 for tenth in range(1, 10))
# Method: learning rate of the image encoder, optimizer steps, and the steps measured on the way.
RATES = {"1e-3": (1e-3, 60, 60), "3e-4": (3e-4, 200, 50), "1e-4": (1e-4, 300, 100)}
INTERPOLATED = ("1e-3", "3e-4")
LORA_STEPS = 200
LORA = {"rank": 8, "lr": 3e-3}
REPLAY_SHARE = 16  # old pairs beside the 32 digits of a batch
SOURCES = [
    "emoji-clip/model.safetensors",
    "emoji-noto.parquet",
    "emoji-openmoji.parquet",
    "scikit-learn load_digits: UCI Optical Recognition of Handwritten Digits, CC BY 4.0",
]


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS)
    fmcourse.setup()
    ship_runs(
        "clip-forgetting.parquet",
        [(measured, seed) for seed in chosen.seeds],
        chosen.ships,
        recipe="clip_forgetting",
        sources=SOURCES,
        read=SOURCES[:3],
        settings={"alphas": list(ALPHAS), "rates": RATES},
    )


class Bench:
    """One seed's digits and drawings, as pixels on the CPU, and the functions that score a
    model."""

    def __init__(self, seed):
        self.seed = seed
        self.model, self.processor = fmcourse.load_clip("emoji-clip")
        draw = np.random.default_rng(seed)
        self._take_digits(draw)
        self._take_drawings(draw)
        self.words = clip.zero_shot_head(self.model, self.processor, DIGITS)

    def _take_digits(self, draw):
        scans = load_digits()
        order = draw.permutation(len(scans.target))
        # Dark ink on white paper, from 17 levels of grey.
        grey = np.uint8(255 - scans.images[order] * 255 / 16)
        pixels = clip.pixels_of(self.processor, [Image.fromarray(scan) for scan in grey])
        labels = torch.tensor(scans.target[order])
        ends = (LEARNT, LEARNT + CHOOSING)
        parts = ("learnt", "choose", "digits")
        self.digits = dict(zip(parts, pixels.tensor_split(ends)))
        self.labels = dict(zip(parts, labels.tensor_split(ends)))

    def _take_drawings(self, draw):
        noto, openmoji = known_drawings("noto"), known_drawings("openmoji")
        shared = [code for code in noto if code in openmoji]
        order = [shared[index] for index in draw.permutation(len(shared))]
        codes = {
            "names": order[:NAMES],
            "choose": order[NAMES : NAMES + NAMES_CHOOSING],
            "replay": order[-REPLAYED:],
        }
        self.drawings = {}
        self.heads = {}
        for part, own in codes.items():
            self.drawings[part] = clip.pixels_of(self.processor, [noto[c][1] for c in own])
            names = [noto[code][0] for code in own]
            self.heads[part] = clip.zero_shot_head(self.model, self.processor, names)
        unseen_style = [openmoji[code][1] for code in codes["names"]]
        self.drawings["openmoji"] = clip.pixels_of(self.processor, unseen_style)
        self.heads["openmoji"] = self.heads["names"]

    def score(self, classifier):
        """Return how many of each part are right: digits by the head, drawings by their names."""
        found = []
        for part in ("choose", "digits"):
            right = classifier.predict(self.digits[part]).argmax(1) == self.labels[part]
            found.append(_counted("digits", part == "choose", right))
        for part in ("choose", "names", "openmoji"):
            rows = classifier.embed(self.drawings[part])
            right = (rows @ self.heads[part].T).argmax(1) == torch.arange(len(rows))
            task = "openmoji" if part == "openmoji" else "names"
            found.append(_counted(task, part == "choose", right))
        return found


def known_drawings(style):
    """Return code points to name and drawing, without skin tones, flags and what was held out."""
    table = data.load_emoji(style)
    about = table.remove_columns("image").to_pandas()
    test, hidden = data.held_out()
    plain = (about["skin_tone"] == "none") & (about["group"] != "flags")
    shown = plain & ~about["codepoints"].isin(test | hidden)
    rows = table.select(np.flatnonzero(shown))
    return {row["codepoints"]: (row["name"], row["image"]) for row in rows}


def _counted(task, choosing, right):
    return {"task": task, "choosing": choosing, "right": int(right.sum()), "total": len(right)}


def measured(seed):
    """Return one row per method, knob and task of a seed."""
    bench = Bench(seed)
    rows = []

    def keep(method, classifier, steps=0, alpha=1.0):
        about = {"seed": seed, "method": method, "steps": steps, "alpha": alpha}
        rows.extend(about | row for row in bench.score(classifier))
        print(about, [f"{row['right'] / row['total']:.3f}" for row in rows[-5:]], flush=True)

    before = clip.build_classifier(bench.model, bench.words)
    keep("before", before, alpha=0.0)
    features = clip.embed_images(bench.model, bench.processor, bench.digits["learnt"])
    probe = clip.linear_probe(features, bench.labels["learnt"])
    keep("linear probe", clip.build_classifier(bench.model, probe))
    for name, (lr, steps, every) in RATES.items():
        tuned = clip.build_classifier(bench.model, bench.words)
        _train(bench, tuned, lr, steps, every, functools.partial(keep, name, tuned))
        if name in INTERPOLATED:
            mixed = clip.build_classifier(bench.model, bench.words)
            for alpha in ALPHAS:
                state = clip.interpolate(before.state_dict(), tuned.state_dict(), alpha)
                mixed.load_state_dict(state)
                keep(f"{name}, interpolated", mixed, steps, alpha)
    for name in INTERPOLATED:
        lr, steps, _ = RATES[name]
        tuned = clip.build_classifier(bench.model, bench.words)
        _train(bench, tuned, lr, steps, steps, None, replay=True)
        keep(f"{name}, replay", tuned, steps)
    examples = (bench.model, bench.processor, bench.digits["learnt"], bench.labels["learnt"])
    settings = {"steps": LORA_STEPS, "seed": seed, "progress": False}
    adapted, _ = clip.fine_tune(*examples, bench.words, **LORA, **settings)
    keep("LoRA", adapted, LORA_STEPS)
    return rows


def _train(bench, classifier, lr, steps, every, keep, replay=False):
    """Train as clip.fine_tune does, look every so many steps, and mix in old pairs when asked."""
    pixels, labels = bench.digits["learnt"], bench.labels["learnt"]
    digits_of = adaptation.batches_of(len(labels), adaptation.BATCH, bench.seed)
    pairs_of = adaptation.batches_of(REPLAYED, REPLAY_SHARE, bench.seed + 1)
    scale = bench.model.logit_scale.detach().exp()

    def batch(step):
        return digits_of(step), pairs_of(step)

    def loss(module, chosen):
        new, old = chosen
        value = functional.cross_entropy(module(pixels[new]), labels[new])
        if not replay:
            return value
        shown = encode_pixels(module, bench.drawings["replay"][old])
        return value + functional.cross_entropy(scale * shown @ bench.heads["replay"].T, old)

    done = 0

    def look(module):
        nonlocal done
        if keep is not None and done:
            keep(done)
        done = min(steps, done + every)
        return {}

    training.fit(
        classifier,
        batch,
        steps,
        optimizer=lambda module: clip.optimizer_of(module, lr, steps)[0],
        loss=loss,
        schedule=adaptation.SCHEDULE,
        seed=bench.seed,
        measure=look,
        measure_every=every,
        progress=False,
    )


if __name__ == "__main__":
    main()
