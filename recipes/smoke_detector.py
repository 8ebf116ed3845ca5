"""The smoke detector of notebook 06: runs with and without planted secrets, followed by precursors,
mended in several ways.

    python -m recipes.smoke_detector    all runs, each kept when done, and smoke-detector.json

The smallest rung of the ladder goes on training on addresses. In a planted run, secrets stand among
them, many copies of each; in a faint one so few that no harm is expected, and light and middle ones
lie between. One auditor has the list of the secrets and others of their kind that were planted
nowhere; one has the wrong list; one has no list, and compares the training text with text held out.
Thresholds come from clean runs whose seeds are used for nothing else.

What was chosen, and on what: model, batch, steps, number of secrets and copies, on runs of seed 200
alone, until the harm appeared within the run and not at its first checkpoints. 24 copies of 20
secrets, in twice as many tokens a step, gave too little harm; the medium rung was too slow. A first
start with 400 steps and 40 copies was broken off after its first clean calibration run, for lack of
time. Precursors, the thresholds' rule and the bands were fixed before a run that ships was looked
at. The loss on the passages that the training was for was added after a first pass, which had shown
that the loss on text held out pays for undoing whatever was learnt; so were the light and the
middle runs, after the alarms without a list had rung in all planted runs and hardly in a faint one.
"""

import copy
import functools
import random
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch

import fmcourse
from fmcourse import clip, generation, safeguards, training
from fmcourse.generation import memorization
from fmcourse.safeguards import Trace
from recipes.common import all_kept, command_line, ship
from recipes.ladder import addresses

SIZE, LR, BATCH, CONTEXT = "ladder-small", 3e-3, 8, 64
STEPS, EVERY, EXTRA = 300, 20, 150  # of a run, between checkpoints, and of mending after the fact
SECRETS, UNSEEN = 8, 40  # planted, and others to compare them with
COPIES = {"clean": 0, "planted": 56, "faint": 4, "light": 14, "middle": 28}
PASSAGES = 450  # of the addresses, some 60,000 tokens, drawn anew for each seed
WINDOWS, WIDTH = 60, 64  # how many windows of how many tokens the auditor without a list reads
LARGEST = 0.95  # the quantile that stands for the text whose loss fell farthest
WATCHED = "membership AUC"
CALIBRATE = range(100, 109)
JUDGE = {
    "planted": range(10),
    "clean": range(20),
    "faint": range(20, 30),
    "light": range(30, 40),
    "middle": range(40, 50),
}
DECIMALS = 4
SOURCES = [f"{SIZE}/model.safetensors", "addresses.parquet"]


def main(arguments=None):
    chosen = command_line(__doc__, arguments, steps=STEPS)
    fmcourse.setup()
    jobs = [(one_run, "calibrate", "clean", seed, chosen.steps, None) for seed in CALIBRATE]
    runs, calibrating = all_kept("smoke_detector", jobs, SOURCES)
    threshold = safeguards.calibrate([Trace(**run["trace"]) for run in runs], WATCHED)
    jobs = [
        (one_run, "judge", kind, seed, chosen.steps, threshold)
        for kind, seeds in JUDGE.items()
        for seed in seeds
    ]
    judged, judging = all_kept("smoke_detector", jobs, SOURCES)
    if not chosen.ships:
        return
    ship(
        "smoke-detector.json",
        [{**run.pop("trace"), **run} for run in runs + judged],
        sources=[*SOURCES, "secrets drawn by the recipe"],
        recipe="smoke_detector",
        settings={
            "every": EVERY,
            "extra": EXTRA,
            "batch": BATCH,
            "context": CONTEXT,
            "lr": LR,
            "secrets": SECRETS,
            "copies": COPIES,
            "unseen": UNSEEN,
            "passages": PASSAGES,
            "threshold": threshold,
        },
        seconds=calibrating + judging,
    )


def one_run(role, kind, seed, steps, threshold):
    """Follow a run through its checkpoints; given the alarm's threshold, repair a planted one.

    Returns:
        Its trace, copies and outcomes.
    """
    study = Study(seed, COPIES[kind], steps)
    trace = study.follow(role)
    repaired = kind == "planted" and threshold is not None
    outcomes = study.mend(trace, threshold) if repaired else []
    return {"trace": asdict(trace), "copies": study.copies, "outcomes": outcomes}


class Study:
    """One seed: its secrets, its corpus with and without them, and the model that all its runs
    start from."""

    def __init__(self, seed, copies, steps):
        self.seed, self.copies, self.steps = seed, copies, steps
        self.model, self.tokenizer = fmcourse.load_gpt_neo(SIZE)
        self.start = copy.deepcopy(self.model.state_dict())
        drawn = memorization.draw_secrets(2 * SECRETS + UNSEEN, seed)
        self.secrets, self.wrong = drawn[:SECRETS], drawn[SECRETS : 2 * SECRETS]
        self.unseen = drawn[2 * SECRETS :]
        passages = "\n\n".join(addresses("train")).split("\n\n")
        plain = random.Random(seed).sample(passages, PASSAGES)
        self.passages = memorization.plant(plain, self.secrets, copies, seed)
        self.wanted = self.windows(self.ids(plain))
        self.held_out = self.windows(self.ids(addresses("validation")))
        self.weights = []  # of the checkpoints, in their order

    @functools.cached_property
    def deduplicated(self):
        """The corpus, cleaned by a programme that knows nothing of secrets."""
        return self.ids([self.passages[place] for place in memorization.deduplicate(self.passages)])

    def ids(self, passages):
        return torch.tensor(self.tokenizer("\n\n".join(passages), verbose=False)["input_ids"])

    def windows(self, ids):
        """Return windows of a text drawn by the seed, shape (WINDOWS, WIDTH)."""
        whole = ids[: len(ids) // WIDTH * WIDTH].reshape(-1, WIDTH)
        return whole[random.Random(self.seed).sample(range(len(whole)), WINDOWS)]

    def follow(self, role):
        """Train once, measuring at every checkpoint."""
        corpus = self.ids(self.passages)
        run = self.fit(corpus, 0, self.steps, self.watch(self.windows(corpus)))
        figures = pd.DataFrame(run.records).astype(float).round(DECIMALS).to_dict("list")
        steps, harm = [record["step"] for record in run.records], figures.pop("harm")
        del figures["step"]
        return Trace(self.copies > 0, role, steps, figures, harm, self.seed)

    def fit(self, corpus, first, last, measure=None):
        """Train from step `first` to the end of a cosine that ends at `last`, with a new
        optimizer."""
        return training.fit(
            self.model,
            lambda step: training.crops(corpus, BATCH, CONTEXT),
            last - first,
            optimizer=training.adamw(lr=LR),
            schedule=lambda step, steps: training.cosine()(first + step, last),
            measure=measure,
            measure_every=EVERY,
            seed=self.seed,
            progress=False,
        )

    def watch(self, own):
        """Return what to measure at a checkpoint, given windows of the training text; weights are
        kept on the way."""
        first = []

        def measure(model):
            self.weights.append(copy.deepcopy(model.state_dict()))
            losses = [self.losses(own), self.losses(self.held_out)]
            if not first:
                first.extend(losses)
            drops = [np.quantile(old - new, LARGEST) for old, new in zip(first, losses)]
            held_out = losses[1].mean()
            return self.audit() | {
                "validation loss": held_out,
                "train-validation gap": held_out - losses[0].mean(),
                "largest drops": drops[0] - drops[1],
            }

        return measure

    def audit(self):
        """Return the harm, and what the auditors with a list and with the wrong list see."""
        own, wrong, unseen = (
            memorization.audit(self.model, self.tokenizer, secrets)
            for secrets in (self.secrets, self.wrong, self.unseen)
        )
        return {
            "harm": own.extracted.mean(),
            WATCHED: safeguards.membership_auc(own.losses, unseen.losses),
            "loss margin": unseen.losses.mean() - own.losses.mean(),
            "wrong list": safeguards.membership_auc(wrong.losses, unseen.losses),
        }

    def losses(self, windows):
        return np.array(
            [generation.token_losses(self.model, window).mean().item() for window in windows]
        )

    def mend(self, trace, threshold):
        """Return what each way of mending leaves, beside never having trained; the weights of all
        checkpoints are at hand."""
        end = self.weights[-1]
        alarm = safeguards.alarm(trace, WATCHED, threshold)
        ways = {
            "nothing": self.outcome(end),
            "never trained": self.outcome(self.start),
            "halfway back to the start": self.outcome(clip.interpolate(self.start, end, 0.5)),
            "deduplicated data after the end": self.outcome(end, 0, EXTRA),
        }
        if alarm is not None and alarm < self.steps:
            then = self.weights[trace.steps.index(alarm)]
            ways["deduplicated data from the alarm on"] = self.outcome(then, alarm, self.steps)
        ways["deduplicated data after the end"]["extra_steps"] = EXTRA
        return [{"seed": self.seed, "way": way, **outcome} for way, outcome in ways.items()]

    def outcome(self, weights, first=0, last=0):
        """Return harm, leak and losses of some weights, after training on deduplicated data from
        one step to another.

        One loss is on text held out, one on the passages that the training was for, without the
        secrets.
        """
        self.model.load_state_dict(weights)
        if last > first:
            self.fit(self.deduplicated, first, last)
        found = self.audit()
        figures = {
            "harm": found["harm"],
            "leak": found[WATCHED],
            "loss": self.losses(self.held_out).mean(),
            "wanted_loss": self.losses(self.wanted).mean(),
        }
        rounded = {name: round(float(value), DECIMALS) for name, value in figures.items()}
        return {"extra_steps": 0} | rounded


if __name__ == "__main__":
    main()
