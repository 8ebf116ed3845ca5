"""Questions with examples in front of them, asked of a language model. Used by notebook 07."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse.arguments import require, whole

ARROW = "{question} -> {answer}"
NEW_TOKENS = 8  # the longest answer of the tasks has seven


def prompt(examples: Sequence[tuple[str, str]], template: str = ARROW) -> str:
    """Return the examples, each filled into the template, one after the other.

    Args:
        examples: pairs of question and answer.
        template: a text with ``{question}`` and, near its end, ``{answer}``.

    >>> prompt([("France", "Paris"), ("Italy", "Rome")])
    'France -> Paris\\nItaly -> Rome\\n'
    """
    lines = [template.format(question=question, answer=answer) for question, answer in examples]
    return "".join(f"{line}\n" for line in lines)


@torch.inference_mode()
def ask(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    before: str,
    questions: Sequence[str],
    template: str = ARROW,
    new_tokens: int = NEW_TOKENS,
) -> pd.DataFrame:
    """Let the model answer questions that share the text before them, each up to its line's end.

    The shared text is read once, and the questions go through the model together. The tokens are
    those of greedy decoding, question by question, but where two logits differ by no more than
    rounding.

    Args:
        model, tokenizer: a causal language model and its tokenizer.
        before: the shared text, such as the examples of :func:`prompt`; it may be empty. One that
            is too long for the context loses its beginning.
        questions: what is asked, filled into the template up to its ``{answer}``.
        template: as in :func:`prompt`.
        new_tokens: the most tokens of an answer.

    Returns:
        One row per question, in order: ``question``, ``answer`` (one line, without spaces around
        it) and ``probability``, the model's own for all tokens that it wrote, the line's end
        among them.
    """
    require(len(questions) > 0, "questions", "at least one question", questions)
    new_tokens = whole("new_tokens", new_tokens, 1)
    stem = template.partition("{answer}")[0].rstrip(" ")
    texts = [stem.format(question=question) for question in questions]
    rows = [torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    table = pad_sequence(rows, True, -1, "left").to(model.device)
    mask = (table >= 0).long()
    room = model.config.max_position_embeddings - table.shape[1] - new_tokens
    shared = tokenizer(before, add_special_tokens=False)["input_ids"][-room:]
    cache = None
    if shared:
        read = model(torch.tensor([shared], device=model.device), use_cache=True, logits_to_keep=1)
        cache = read.past_key_values
        cache.batch_repeat_interleave(len(rows))
        mask = torch.cat([mask.new_ones(len(rows), len(shared)), mask], dim=1)
    written: list[list[int]] = [[] for _ in rows]
    logs = np.zeros(len(rows))
    # Rows leave as soon as their line has ended.
    going = list(range(len(rows)))
    tokens = table.clamp(min=0)
    for _ in range(new_tokens):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        output = model(
            tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        best = output.logits[:, -1].float().log_softmax(-1).max(-1)
        kept = []
        for place, row in enumerate(going):
            token = int(best.indices[place])
            written[row].append(token)
            logs[row] += float(best.values[place])
            if token != model.config.eos_token_id and "\n" not in tokenizer.decode([token]):
                kept.append(place)
        if not kept:
            break
        cache.batch_select_indices(torch.tensor(kept, device=model.device))
        going = [going[place] for place in kept]
        tokens = best.indices[kept][:, None]
        mask = torch.cat([mask[kept], mask.new_ones(len(kept), 1)], dim=1)
    lines = [str(tokenizer.decode(row, skip_special_tokens=True)) for row in written]
    answers = [line.partition("\n")[0].strip() for line in lines]
    found = {"question": list(questions), "answer": answers, "probability": np.exp(logs)}
    return pd.DataFrame(found)


def is_right(answer: str, accepted: Sequence[str]) -> bool:
    """Return whether an answer is one of the accepted ones; capitals and a full stop do not count.

    >>> is_right("paris.", ["Paris"]), is_right("Paris, France", ["Paris"])
    (True, False)
    """
    return answer.rstrip(".").lower() in [each.lower() for each in accepted]


def contains_right(answer: str, accepted: Sequence[str]) -> bool:
    """Return whether a sentence contains an accepted answer as a whole word.

    >>> contains_right("It is Paris.", ["Paris"]), contains_right("a catsuit", ["cats"])
    (True, False)
    """
    return any(re.search(rf"\b{re.escape(each)}\b", answer, re.IGNORECASE) for each in accepted)


def begins_right(answer: str, accepted: Sequence[str]) -> bool:
    """Return whether a sentence begins with an accepted answer as a whole word."""
    return any(re.match(rf"{re.escape(each)}\b", answer, re.IGNORECASE) for each in accepted)
