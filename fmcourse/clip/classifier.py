"""Classifiers of pictures: heads over embeddings, linear probes, and an image encoder with a head.

Serves notebook 03, sections 2 to 4. Source: Radford et al. 2021, section 3.1 (words as a head) and
3.2 (linear probe).
"""

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel

from fmcourse.arguments import require, whole
from fmcourse.clip.embedding import Labels, check_pixels, encode_pixels, in_parts, whole_numbers
from fmcourse.files import user_path, write_atomic

PENALTY = 10.0  # of the linear probe; chosen on validation concepts, for the first edition
WEIGHTS, NAMES = "classifier.safetensors", "classifier.json"


@dataclass(frozen=True)
class Head:
    """A linear classifier over embeddings: logits are ``embeddings @ weight.T + bias``.

    Attributes:
        weight: shape (classes, d).
        bias: shape (classes,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (n, d) to logits (n, classes), on the device of the embeddings."""
        return embeddings @ self.weight.to(embeddings).T + self.bias.to(embeddings)


def random_head(classes: int, width: int, seed: int = 0) -> Head:
    """Return an untrained head: normal weights of standard deviation 1 / sqrt(width), no bias."""
    classes = whole("classes", classes, 2)
    generator = torch.Generator().manual_seed(whole("seed", seed))
    return Head(torch.randn(classes, width, generator=generator) / width**0.5, torch.zeros(classes))


def linear_probe(features: Tensor, labels: Labels, C: float = PENALTY) -> Head:
    """Fit scikit-learn's multinomial logistic regression on embeddings, which stay as they are.

    Args:
        features: embeddings, shape (n, d).
        labels: the class of each embedding, 0 to classes - 1, shape (n,); each class at least once.
        C: the inverse of the L2 penalty, as in scikit-learn.

    Returns:
        A :class:`Head` on the CPU; its softmax is scikit-learn's ``predict_proba``.

    Raises:
        ValueError: labels that are no whole numbers or of a different length, a class without an
            embedding, or one class only.
    """
    labels = checked_labels(labels, len(features))
    found = labels.unique().tolist()
    require(len(found) > 1, "labels", "at least two classes", found)
    regression = LogisticRegression(C=C, max_iter=2_000, tol=1e-5)
    with warnings.catch_warnings():
        # One picture per class is a fair question.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        regression.fit(torch.as_tensor(features).detach().cpu().double().numpy(), labels.numpy())
    weight = torch.from_numpy(regression.coef_).float()
    bias = torch.from_numpy(regression.intercept_).float()
    if len(weight) == 1:  # two classes share one row there: the log odds of class 1
        weight = torch.cat([-weight, weight]) / 2
        bias = torch.cat([-bias, bias]) / 2
    return Head(weight, bias)


def checked_labels(labels: Labels, count: int, classes: int | None = None) -> Tensor:
    """Return labels as a tensor on the CPU, shape (count,); a ValueError says what is wrong.

    Without a number of classes each class must occur: there are as many as there are labels.
    """
    checked = whole_numbers("labels", labels, count)
    found = checked.unique().tolist()
    classes = classes or len(found)
    fits = len(found) > 0 and 0 <= found[0] and found[-1] < classes
    require(fits, "labels", f"classes from 0 to {classes - 1}, for at least one picture", found)
    return checked


def build_classifier(model: PreTrainedModel, head: Head | Tensor) -> "PictureClassifier":
    """Return a module that maps pixels (n, 3, side, side) to logits (n, classes).

    Args:
        model: a CLIP of :func:`fmcourse.load_clip`; its image encoder is copied, not changed.
        head: a :class:`Head`, or the embeddings of a zero-shot head, shape (classes, d), which are
            multiplied by the model's own scale.

    Returns:
        A classifier in evaluation mode, in fp32 whatever the model's precision. While it trains,
        its batch norms keep the foundation's statistics, so that every weight can be interpolated.

    Raises:
        ValueError: a head of a different width than the model's embeddings.
    """
    if isinstance(head, Tensor):
        scale = model.get_parameter("logit_scale").detach().float().exp()
        head = Head(scale.to(head.device) * head.float(), torch.zeros(len(head)))
    width = len(model.get_parameter("visual_projection.weight"))
    shape = head.weight.shape if isinstance(head, Head) else ()
    fits = tuple(shape[1:]) == (width,)
    require(fits, "head", f"a Head or tensor of width {width}, one row per class", head)
    return PictureClassifier(model, head).eval()


class PictureClassifier(torch.nn.Module):
    """A copy of a CLIP's image encoder with a linear head; see :func:`build_classifier`."""

    visual_projection: torch.nn.Linear
    head: torch.nn.Linear

    def __init__(self, model: PreTrainedModel, head: Head) -> None:
        super().__init__()
        self.vision_model = copy.deepcopy(model.vision_model).float()
        self.vision_model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        projection: Any = copy.deepcopy(model.visual_projection)
        self.visual_projection = projection.float()
        classes, width = head.weight.shape
        device = self.visual_projection.weight.device
        # skip_init: a layer of random weights would move the global generator.
        self.head = torch.nn.utils.skip_init(torch.nn.Linear, width, classes, device=device)
        self.head.load_state_dict({"weight": head.weight, "bias": head.bias})
        self.side = model.config.vision_config.image_size
        self.requires_grad_(True)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, 3, side, side) to logits (n, classes), with gradient."""
        return self.head(self._encoded(pixels).to(self.head.weight.dtype))

    def predict(self, pixels: Tensor) -> Tensor:
        """Return logits (n, classes) on the CPU, without gradient; no part changes its mode."""
        check_pixels(pixels, self.side)
        return in_parts(self, self, pixels)

    def embed(self, pixels: Tensor) -> Tensor:
        """Return embeddings (n, d) of length 1, whatever the head, as :meth:`predict` does."""
        check_pixels(pixels, self.side)
        return in_parts(self, self._encoded, pixels)

    def _encoded(self, pixels: Tensor) -> Tensor:
        return encode_pixels(self, pixels.to(memory_format=torch.channels_last))

    def train(self, mode: bool = True) -> "PictureClassifier":
        """Switch the mode of all but the batch norms; see :func:`freeze_statistics`."""
        super().train(mode)
        freeze_statistics(self)
        return self


def percent_right(
    classifier: PictureClassifier,
    pixels: Tensor,
    labels: Labels,
    head: Tensor | None = None,
) -> float:
    """Return how many pictures are classified correctly, in percent.

    Args:
        classifier: of :func:`build_classifier`, before or after training.
        pixels: shape (n, 3, side, side).
        labels: the class of each picture, shape (n,).
        head: a zero-shot head, shape (classes, d), to use in place of the classifier's own: an old
            task, after the encoder was trained on a new one.

    Raises:
        ValueError: labels that do not fit.
    """
    logits = classifier.predict(pixels) if head is None else classifier.embed(pixels) @ head.T
    right = logits.argmax(1) == checked_labels(labels, len(pixels), logits.shape[1])
    return 100 * int(right.sum()) / len(right)


def freeze_statistics(module: torch.nn.Module) -> None:
    """Let batch norms use the statistics that they came with.

    Those of a small batch are poor, and cannot be averaged.
    """
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


def save_classifier(
    classifier: PictureClassifier, names: Sequence[str], folder: str | Path
) -> None:
    """Write a classifier into a folder, made when missing; :func:`load_classifier` reads it.

    The file of the weights holds the names, too, and is replaced whole: should the disk be full or
    the power fail, the old classifier stays. A second file repeats the names for other programs.

    Args:
        classifier: of :func:`build_classifier`, before or after training.
        names: the name of each class; whole numbers become text.
        folder: where to write; ``~`` is your home.

    Raises:
        ValueError: names that do not fit, a different kind of module, or a file in place of the
            folder; nothing is written.
        OSError: the files cannot be written.
    """
    fits = isinstance(classifier, PictureClassifier)
    expected = "a classifier of build_classifier or fine_tune"
    require(fits, "classifier", expected, type(classifier).__name__)
    state = {name: value.cpu().contiguous() for name, value in classifier.state_dict().items()}
    classes = classifier.head.out_features
    array = np.asarray(names, dtype=object)
    fits = array.shape == (classes,) and all(isinstance(name, (str, Integral)) for name in array)
    require(fits, "names", f"a list of {classes} texts, one for each class", names)
    texts = [str(name) for name in array]
    folder = output_folder(folder)
    write_atomic(folder / WEIGHTS, save(state, {"names": json.dumps(texts)}))
    write_atomic(folder / NAMES, json.dumps({"names": texts}))


def output_folder(folder: str | Path) -> Path:
    """Return the path of a folder to write to, made when missing; a file is refused."""
    path = user_path(folder)
    for part in (path, *path.parents):
        require(not part.is_file(), "folder", "a folder or the name of a new one", str(part))
    path.mkdir(parents=True, exist_ok=True)
    return path


def load_classifier(
    model: PreTrainedModel, folder: str | Path
) -> tuple[PictureClassifier, list[str]]:
    """Return the classifier that :func:`save_classifier` wrote, and its class names.

    Args:
        model: the CLIP that the classifier was made from.
        folder: where it was written to; ``~`` is your home.

    Raises:
        ValueError: a file that is missing or not whole, or a classifier made from a different
            model.
    """
    path = user_path(folder) / NAMES
    try:
        names = json.loads(path.read_bytes())["names"]
        path = path.with_name(WEIGHTS)
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
            # Classifiers of the first edition have their names in the other file alone.
            if file.metadata():
                names = json.loads(file.metadata()["names"])
        classifier = build_classifier(model, Head(state["head.weight"], state["head.bias"]))
        classifier.load_state_dict(state)
        require(len(names) == classifier.head.out_features, "names", "one for each class", names)
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(
            f"folder: {path} is missing, not whole, or of a different model; check the folder and "
            "the model, copy the folder once more, or train and save the classifier again"
        ) from error
    return classifier, names
