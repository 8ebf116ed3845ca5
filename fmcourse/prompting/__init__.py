"""What a language model does with a prompt alone, without training. Used by notebook 07."""

from fmcourse.prompting.asking import ARROW, ask, begins_right, contains_right, is_right, prompt
from fmcourse.prompting.results import (
    accuracy,
    accuracy_difference,
    answers_right,
    best_and_worst,
    cut_off,
    lost_by_shuffling,
)
from fmcourse.prompting.tasks import invented_countries, load_task, sample_examples, task_names

__all__ = [
    "ARROW",
    "accuracy",
    "accuracy_difference",
    "answers_right",
    "ask",
    "begins_right",
    "best_and_worst",
    "contains_right",
    "cut_off",
    "invented_countries",
    "is_right",
    "load_task",
    "lost_by_shuffling",
    "prompt",
    "sample_examples",
    "task_names",
]
