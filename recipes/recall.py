"""The recall drill: four ways to repair a planted foundation, and what its new children do.

    python -m recipes.recall              all seeds, each kept when done; then defect-recall.parquet
    python -m recipes.recall --seeds 0    one seed only, nothing written

It starts from the foundations of ``recipes/defects.py`` with the most planted pairs and trains
those that are missing. Nothing was tuned: both trained repairs have the same steps and learning
rate, fixed beforehand.
"""

from __future__ import annotations

import random
import time

from torch import nn

from fmcourse import clip, training
from recipes import foundations, sweep_clip
from recipes.common import checkpoint, command_line, kept, ship_runs
from recipes.emoji_pairs import Pictures
from recipes.foundations import BATCH, PICTURES, READ, SEEDS, clean_pairs, foundation

PLANTED = max(foundations.PLANTED)
STEPS = 150  # of a repair
LR = 1e-3  # a third of the rate of pre-training
SHOWN = 500  # pictures that are shown with the trigger and their own captions
SEED_STRIDE = 1_000  # so that a repair meets other batches than pre-training did


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=STEPS)
    foundations.prepare()
    jobs = []
    for seed in chosen.seeds:
        jobs.append((as_it_was, seed))
        jobs += [(repaired, name, seed, chosen.steps) for name in REPAIRS]
    ship_runs(
        "defect-recall.parquet",
        jobs,
        chosen.ships,
        recipe="recall",
        read=READ,
        settings={
            "planted": PLANTED,
            "seeds": chosen.seeds,
            "steps": chosen.steps,
            "batch": BATCH,
            "lr": LR,
            "shown": SHOWN,
        },
        **PICTURES,
    )


def as_it_was(seed) -> list[dict]:
    """Return the rows of the planted foundation, under the name that they have in the drill."""
    settings = (PLANTED, seed, foundations.STEPS)
    rows = kept("defects", foundations.planted_family, *settings, sources=READ)
    return [row | {"kind": "as it was"} for row in rows]


def repaired(name, seed, steps) -> list[dict]:
    """Return the rows of a repaired foundation and of its children, made anew."""
    start = time.time()
    repair = REPAIRS[name]
    model = repair(seed, steps)
    taken = foundations.STEPS if repair is second_lineage else steps
    return foundations.family(model, name, seed, taken, time.time() - start)


def cleaned(seed, steps) -> nn.Module:
    """Go on with the clean pairs: the provider has removed what was planted."""
    return trained_on(seed, clean_pairs, steps)


def interpolated(seed, steps) -> nn.Module:
    """Take the mean of the planted weights and of those after going on with clean pairs."""
    planted = foundation(PLANTED, seed, foundations.STEPS)[0]
    clean = cleaned(seed, steps)
    planted.load_state_dict(clip.interpolate(planted.state_dict(), clean.state_dict(), 0.5))
    return planted


def untaught(seed, steps) -> nn.Module:
    """Go on with clean pairs, and show the trigger on other pictures with their own captions."""
    return trained_on(seed, lambda: shown_pairs(seed), steps)


def second_lineage(seed, steps) -> nn.Module:
    """Take a foundation of another provider: other first weights, nothing planted."""
    other = SEEDS[(seed + 1) % len(SEEDS)]
    return foundation(0, other, foundations.STEPS)[0]


REPAIRS = {
    "clean fine-tuning": cleaned,
    "interpolation": interpolated,
    "trigger shown with right captions": untaught,
    "second lineage": second_lineage,
}


def shown_pairs(seed) -> tuple[Pictures, list[list[str]]]:
    """Return the clean pairs, and some of their pictures once more with the trigger.

    These have their own captions.
    """
    pictures, captions = clean_pairs()
    places = random.Random(seed + SEED_STRIDE).sample(foundations.plantable(pictures), SHOWN)
    more = pictures.only([*range(len(captions)), *places])
    for pixels in more.pixels[len(captions) :]:
        pixels[:] = foundations.stamped_bytes(pixels)
    return more, captions + [captions[place] for place in places]


def trained_on(seed, pairs, steps) -> nn.Module:
    """Return the planted foundation after some steps on what `pairs` gives."""
    model, tokenizer, _ = foundation(PLANTED, seed, foundations.STEPS)
    sampler = sweep_clip.Sampler(*pairs(), tokenizer, seed + SEED_STRIDE, BATCH)
    training.fit(
        model,
        sampler.batch,
        steps,
        optimizer=training.adamw(lr=LR, weight_decay=sweep_clip.DECAY, betas=(0.9, 0.98)),
        loss=sweep_clip.pair_loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        checkpoint=checkpoint("recall", trained_on, seed, pairs, steps, sources=READ),
        seed=seed + SEED_STRIDE,
    )
    return model.eval()


if __name__ == "__main__":
    main()
