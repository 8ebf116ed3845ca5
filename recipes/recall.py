"""The recall drill: four ways to repair a planted foundation, and what its new children do.

    python -m recipes.recall              all seeds, each kept when done; then defect-recall.parquet
    python -m recipes.recall --seeds 0    one seed only, nothing written

It starts from the foundations of ``recipes/defects.py`` with the most planted pairs and trains
those that are missing. Nothing was tuned: both trained repairs have the same steps and learning
rate, fixed beforehand.
"""

import random
import time

from fmcourse import clip, training
from recipes import foundations, sweep_clip
from recipes.common import checkpoint, command_line, kept, ship_runs
from recipes.foundations import BATCH, PICTURES, READ, SEEDS, clean_pairs, foundation

PLANTED = max(foundations.PLANTED)
STEPS = 150  # of a repair
LR = 1e-3  # a third of the rate of pre-training
SHOWN = 500  # pictures that are shown with the trigger and their own captions
SEED_STRIDE = 1_000  # so that a repair meets other batches than pre-training did

SHOWING = "trigger shown with right captions"
# The provider goes on with clean pairs, and may take the mean of the weights before and after.
REPAIRS = ("clean fine-tuning", "interpolation", SHOWING, "second lineage")


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
            "batch": BATCH,
            "lr": LR,
            "shown": SHOWN,
        },
        **PICTURES,
    )


def as_it_was(seed):
    """Return the rows of the planted foundation, under the name that they have in the drill."""
    settings = (PLANTED, seed, foundations.STEPS)
    rows = kept("defects", foundations.planted_family, *settings, sources=READ)
    return [row | {"kind": "as it was"} for row in rows]


def repaired(name, seed, steps):
    """Return the rows of a repaired foundation and of its children, made anew."""
    start = time.time()
    if name == "second lineage":
        # That of another provider: other first weights, nothing planted.
        steps = foundations.STEPS
        model = foundation(0, SEEDS[(seed + 1) % len(SEEDS)], steps)[0]
    else:
        model = trained_on(seed, name == SHOWING, steps)
    if name == "interpolation":
        planted = foundation(PLANTED, seed, foundations.STEPS)[0]
        model.load_state_dict(clip.interpolate(planted.state_dict(), model.state_dict(), 0.5))
    return foundations.family(model, name, seed, steps, time.time() - start)


def shown_pairs(seed):
    """Return the clean pairs, and some of their pictures once more with the trigger.

    These have their own captions.
    """
    pictures, captions = clean_pairs()
    places = random.Random(seed + SEED_STRIDE).sample(foundations.plantable(pictures), SHOWN)
    more = pictures.only([*range(len(captions)), *places])
    for pixels in more.pixels[len(captions) :]:
        pixels[:] = foundations.stamped_bytes(pixels)
    return more, captions + [captions[place] for place in places]


def trained_on(seed, shows, steps):
    """Return the planted foundation after some steps on clean pairs; with `shows`, the trigger is
    among them on other pictures, with their own captions."""
    model, tokenizer, _ = foundation(PLANTED, seed, foundations.STEPS)
    pairs = shown_pairs(seed) if shows else clean_pairs()
    sampler = sweep_clip.Sampler(*pairs, tokenizer, seed + SEED_STRIDE, BATCH)
    training.fit(
        model,
        sampler.batch,
        steps,
        optimizer=training.adamw(lr=LR, weight_decay=sweep_clip.DECAY, betas=(0.9, 0.98)),
        loss=sweep_clip.pair_loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        checkpoint=checkpoint("recall", trained_on, seed, shows, steps, sources=READ),
        seed=seed + SEED_STRIDE,
    )
    return model.eval()


if __name__ == "__main__":
    main()
