"""What sorts pictures into classes? Heads over unit rows, a linear probe, and a picture tower that carries a head.

Serves notebook 03, sections 2 to 4. Sources: Radford et al. 2021, section 3.1 (words as a head) and 3.2 (linear probe).
"""

from __future__ import annotations

import copy
import functools
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.clip.embedding import check_pixels, encode_pixels

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = [
    "Head",
    "build_classifier",
    "linear_probe",
    "load_classifier",
    "random_head",
    "save_classifier",
]

STRENGTH = 10.0  # of the linear probe; chosen on validation concepts by recipes/clip_frontier.py
FILES = ("classifier.safetensors", "classifier.json")


@dataclass(frozen=True)
class Head:
    """A linear classifier over unit rows: logits are ``rows @ weight.T + bias``.

    Attributes:
        weight: shape (classes, d).
        bias: shape (classes,).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Map unit rows (n, d) to logits (n, classes), on the device of the rows."""
        return rows @ self.weight.to(rows).T + self.bias.to(rows)


def random_head(classes: int, width: int, seed: int = 0) -> Head:
    """Return a head that knows nothing: normal weights of standard deviation 1 / sqrt(width), no bias."""
    import torch

    require(classes >= 2, "classes", "at least 2", classes)
    generator = torch.Generator().manual_seed(seed)
    return Head(torch.randn(classes, width, generator=generator) / width**0.5, torch.zeros(classes))


def linear_probe(
    features: torch.Tensor, labels: Sequence[int] | torch.Tensor, strength: float = STRENGTH
) -> Head:
    """Fit scikit-learn's multinomial logistic regression on rows that stay as they are.

    Args:
        features: rows, shape (n, d).
        labels: the class of each row, 0 to classes - 1, shape (n,); each class at least once.
        strength: the inverse of the L2 penalty, scikit-learn's C.

    Returns:
        A :class:`Head` on the CPU; its softmax is scikit-learn's ``predict_proba``.

    Raises:
        ValueError: labels of another length, or a class without a row.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    labels = checked_labels(labels, len(features))
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="The number of unique classes"
        )  # one picture per class is a fair question
        fitted = LogisticRegression(C=strength, max_iter=2_000, tol=1e-5).fit(
            features.cpu().double().numpy(), labels.numpy()
        )
    weight, bias = (
        torch.from_numpy(fitted.coef_).float(),
        torch.from_numpy(fitted.intercept_).float(),
    )
    if len(weight) == 1:  # two classes share one row there: the log odds of class 1
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return Head(weight, bias)


def checked_labels(
    labels: Sequence[int] | torch.Tensor, count: int, classes: int | None = None
) -> torch.Tensor:
    """Return labels as whole numbers on the CPU, shape (count,); a ValueError names what is wrong with them."""
    import torch

    labels = torch.as_tensor(labels).cpu()
    whole = labels.ndim == 1 and len(labels) == count and not labels.is_floating_point()
    require(
        whole,
        "labels",
        f"one whole number for each of the {count} rows",
        f"shape {tuple(labels.shape)}, {labels.dtype}",
    )
    top = int(labels.max()) + 1
    if classes is None:
        every = len(labels.unique()) == top and int(labels.min()) == 0
        require(every, "labels", f"each class from 0 to {top - 1}", labels.unique())
    else:
        require(
            0 <= int(labels.min()) and top <= classes,
            "labels",
            f"classes from 0 to {classes - 1}",
            labels.unique(),
        )
    return labels.long()


def build_classifier(model: PreTrainedModel, head: Head | torch.Tensor) -> torch.nn.Module:
    """Return a module that maps pixels (n, 3, side, side) to logits (n, classes): a copy of the picture tower, and a head.

    Args:
        model: a CLIP of :func:`fmcourse.load_clip`; it is copied, not changed.
        head: a :class:`Head`, or the unit rows of a zero-shot head, shape (classes, d), which are multiplied by the
            model's own scale.

    Returns:
        A torch module whose logits are ``classifier(pixels)``, in evaluation mode. While it trains, its batch norms keep
        the foundation's statistics, so that every weight can be interpolated.

    Raises:
        ValueError: a head of another width than the model's rows.
    """
    import torch

    if isinstance(head, torch.Tensor):
        head = Head(model.logit_scale.detach().exp().to(head) * head, torch.zeros(len(head)))
    width = model.visual_projection.weight.shape[0]
    shape = tuple(head.weight.shape)
    require(
        head.weight.ndim == 2 and shape[1] == width,
        "head",
        f"rows of width {width}, one per class",
        shape,
    )
    return _classifier_class()(model, head).eval()


@functools.cache
def _classifier_class() -> type:
    """Build the class behind :func:`build_classifier` when torch is first needed."""
    import torch

    class PictureClassifier(torch.nn.Module):
        def __init__(self, model, head: Head) -> None:
            super().__init__()
            self.vision_model = copy.deepcopy(model.vision_model).to(
                memory_format=torch.channels_last
            )
            self.visual_projection = copy.deepcopy(model.visual_projection)
            device, (classes, width) = self.visual_projection.weight.device, head.weight.shape
            self.head = torch.nn.utils.skip_init(
                torch.nn.Linear, width, classes, device=device
            )  # nothing is drawn
            self.head.load_state_dict({"weight": head.weight, "bias": head.bias})
            self.side = model.config.vision_config.image_size
            self.requires_grad_(True)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.head(
                encode_pixels(self, pixels.contiguous(memory_format=torch.channels_last))
            )

        @torch.inference_mode()
        def predict(self, pixels: torch.Tensor, batch_size: int = 128) -> torch.Tensor:
            check_pixels(pixels, self.side)
            device, was_training = self.head.weight.device, self.training
            self.eval()
            logits = torch.cat([self(part.to(device)).cpu() for part in pixels.split(batch_size)])
            self.train(was_training)
            return logits.clone()

        def train(self, mode: bool = True):
            super().train(mode)
            freeze_statistics(self)
            return self

    return PictureClassifier


def freeze_statistics(module: torch.nn.Module) -> None:
    """Let batch norms use the statistics that they came with: a small batch has poor ones, and they cannot be averaged."""
    from torch.nn.modules.batchnorm import _BatchNorm

    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


def save_classifier(classifier: torch.nn.Module, names: Sequence[str], folder: str | Path) -> None:
    """Write a classifier's weights and class names into a folder, made when missing; :func:`load_classifier` reads them."""
    from safetensors.torch import save_file

    classes = classifier.head.out_features
    require(len(names) == classes, "names", f"one for each of the {classes} classes", len(names))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in classifier.state_dict().items()},
        folder / FILES[0],
    )
    (folder / FILES[1]).write_text(
        json.dumps({"names": list(names)}, ensure_ascii=False), encoding="utf-8"
    )


def load_classifier(
    model: PreTrainedModel, folder: str | Path
) -> tuple[torch.nn.Module, list[str]]:
    """Return the classifier that :func:`save_classifier` wrote, and its class names; `model` is the one it was made from."""
    from safetensors.torch import load_file

    missing = [file for file in FILES if not (Path(folder) / file).is_file()]
    require(not missing, "folder", f"a folder that holds {' and '.join(FILES)}", str(folder))
    state = load_file(Path(folder) / FILES[0])
    classifier = build_classifier(model, Head(state["head.weight"], state["head.bias"]))
    classifier.load_state_dict(state)
    return classifier, json.loads((Path(folder) / FILES[1]).read_text(encoding="utf-8"))["names"]
