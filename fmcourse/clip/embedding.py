"""Embeddings of pictures and texts, zero-shot heads, the contrastive loss, ranks, occlusion.

Used by notebook 03, sections 1, 2, 7 and the retrieval. Sources: Radford et al. 2021, sections 2.3
and 3.1; the shared targets of the loss are those of Yang et al. 2022 (UniCL), written as
probabilities.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torch.nn import Module, functional
from transformers import PreTrainedModel, ProcessorMixin

from fmcourse.arguments import require, whole
from fmcourse.arguments import texts as several_texts
from fmcourse.clip.pictures import as_seen

# Those of the bundled model's captions.
TEMPLATES = ("{}", "a drawing of {}", "an emoji of {}", "a picture of {}", "{} icon")
BATCH = 128
REMEDY = "use words that it knows, or a head without words: clip.linear_probe or clip.random_head"
READABLE = f"words that the model can read; {REMEDY}"
APART = f"texts that the model reads differently; {REMEDY}"

# What functions of this package take as pictures, and as their classes.
Images = Sequence[Image.Image] | Tensor
Labels = Sequence[int] | Tensor


def pixels_of(processor: ProcessorMixin, images: Sequence[Image.Image]) -> Tensor:
    """Return what the model sees of some pictures: upright, on white, resized, normalized.

    Args:
        processor: the one that belongs to the model.
        images: PIL images of any size and mode, taken as :func:`fmcourse.clip.pictures.as_seen`
            shows them.

    Returns:
        A new tensor, shape (n, 3, side, side), float32, on the CPU.

    Raises:
        ValueError: no image, something that is no image or cannot be read whole, or a side of 0
            pixels.
    """
    # A column of a table and an array of objects will do; a table, a text or one image will not.
    listed = hasattr(images, "__getitem__") and not isinstance(images, (str, bytes, dict))
    require(listed and len(images) > 0, "images", "a list of PIL images, at least one", images)
    seen = []
    for index, image in enumerate(images):
        name = f"images[{index}]"
        require(isinstance(image, Image.Image), name, "a PIL image", image)
        require(min(image.size) > 0, name, "at least one pixel on each side", image.size)
        try:
            seen.append(as_seen(image))
        except Exception as error:
            # On a damaged file Pillow raises OSError, SyntaxError, struct.error and others.
            raise ValueError(
                f"{name}: expected a picture that can be read whole, got {image!r}: {error}"
            ) from error
    return processor.image_processor(images=seen, return_tensors="pt")["pixel_values"]


def embed_images(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Images,
    batch_size: int = BATCH,
) -> Tensor:
    """Return one embedding per picture, of length 1.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`, in any precision.
        images: PIL images, or pixels of :func:`pixels_of`, shape (n, 3, side, side).
        batch_size: pictures per pass; the embeddings do not depend on it beyond rounding.

    Returns:
        A new tensor, shape (n, d), float32, on the CPU, without gradient.

    Raises:
        ValueError: see :func:`pixels_of`; pixels of a different shape than the model's, or that are
            not finite.
    """
    pixels = checked_pixels(model, processor, images)
    return in_parts(model, partial(encode_pixels, model), pixels, batch_size)


def embed_texts(model: PreTrainedModel, processor: ProcessorMixin, texts: Sequence[str]) -> Tensor:
    """Return one embedding per text, shape (n, d), as :func:`embed_images` does.

    Beyond the model's context a text is cut.

    Raises:
        ValueError: no text, one string in place of a list, something that is no string, a text
            without a word that the model knows, or different texts that differ in unknown words
            only.
    """
    texts = several_texts("texts", texts)
    first: dict[tuple[int, ...], str] = {}
    # Those without an unknown word come first, so that both of a pair are met.
    for (unknown, known), text in sorted(zip(_words(processor, "texts", texts), texts)):
        other = first.setdefault(known, text)
        require(not unknown or other == text, "texts", APART, (other, text))
    embeddings = []
    with torch.inference_mode(), _evaluating(model):
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            batch = processor.tokenizer(part, padding=True, truncation=True, return_tensors="pt")
            embeddings.append(encode_tokens(model, batch).cpu())
    return torch.cat(embeddings).clone()


def encode_pixels(model, pixels: Tensor) -> Tensor:
    """Return embeddings of pixels, of length 1, shape (n, d), float32, with gradient."""
    return functional.normalize(project_pixels(model, pixels).float(), dim=-1)


def encode_tokens(model, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the same of tokens: a batch of input_ids and attention_mask, shape (n, tokens)."""
    return functional.normalize(project_tokens(model, batch).float(), dim=-1)


def project_pixels(model, pixels: Tensor) -> Tensor:
    """Return embeddings of pixels of any length, in the model's precision, with gradient."""
    weight = next(model.parameters())
    pixels = pixels.to(weight.device, weight.dtype)
    return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output.flatten(1))


def project_tokens(model, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the same of tokens."""
    device = next(model.parameters()).device
    kept = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
    return model.text_projection(model.text_model(**kept).pooler_output)


def zero_shot_head(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    names: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """Return a classifier of words: for each name the mean of its templates' embeddings, length 1.

    Args:
        names: one per class.
        templates: sentences with a slot ``{}`` for the name (Radford et al. 2021, section 3.1.4).

    Returns:
        Embeddings, shape (classes, d); the class of a picture is the one with the largest dot
        product.

    Raises:
        ValueError: no name, a name that the model cannot read, names that it reads alike, no
            template, or a template without one slot.
    """
    names, templates = several_texts("names", names), several_texts("templates", templates)
    for template in templates:
        before, slot, after = template.partition("{}")
        plain = slot and not set("{}") & set(before + after)
        require(plain, "templates", "one slot {} and no other brace in each", template)
    read = [known for _, known in _words(processor, "names", names)]
    for index, words in enumerate(read):
        other = read.index(words)
        require(other == index, "names", APART, (names[other], names[index]))
    embeddings = []
    for template in templates:
        filled = [template.replace("{}", name) for name in names]
        embeddings.append(embed_texts(model, processor, filled))
    return functional.normalize(torch.stack(embeddings).mean(0), dim=-1)


def contrastive_loss(
    image: Tensor,
    text: Tensor,
    scale: float | Tensor,
    ids: Labels | None = None,
) -> Tensor:
    """Return the mean of both directions' cross-entropies between pictures and texts, in nats.

    Args:
        image: embeddings of length 1, shape (n, d).
        text: the same of the texts; number i belongs to picture i.
        scale: what the dot products are multiplied by, the inverse temperature.
        ids: which pairs mean the same, shape (n,); equal ids share the target evenly. None means
            that all differ, which is the loss of transformers' own CLIP.

    Returns:
        A scalar with gradient, on the device of `image`: logits are ``scale * image @ text.T``.

    Raises:
        ValueError: embeddings that are not two tensors of one shape (n, d), or ids that are not n
            whole numbers.

    >>> rows = torch.eye(2)
    >>> round(contrastive_loss(rows, rows, 1.0).item(), 4)
    0.3133
    >>> round(contrastive_loss(rows, rows, 1.0, ids=[7, 7]).item(), 4)
    0.8133
    """
    shape = tuple(image.shape)
    require(len(shape) == 2 and shape[0] > 0, "image", "shape (n, d), n at least 1", shape)
    require(tuple(text.shape) == shape, "text", f"the shape of image, {shape}", tuple(text.shape))
    logits = torch.as_tensor(scale).to(image) * image @ text.to(image).T
    targets = soft_targets(range(len(image)) if ids is None else ids, len(image)).to(logits)
    of_images = functional.cross_entropy(logits, targets)
    return (of_images + functional.cross_entropy(logits.T, targets)) / 2


def soft_targets(ids: Labels, count: int) -> Tensor:
    """Return each pair's target, spread evenly over the pairs of its id, shape (count, count).

    >>> soft_targets([3, 5, 3], 3).tolist()
    [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]
    """
    ids = whole_numbers("ids", ids, count)
    same = (ids[:, None] == ids[None]).float()
    return same / same.sum(1, keepdim=True)


def retrieval_ranks(queries: Tensor, gallery: Tensor, right: Labels) -> Tensor:
    """Return how many others of the gallery are at least as near to a query as its right one, (n,).

    A rank of 0 is a find; recall@k is the share of ranks below k. Ties count against the query, so
    that a model which gives every picture the same embedding finds nothing.

    Args:
        queries: embeddings of length 1, shape (n, d).
        gallery: the same, shape (m, d).
        right: for each query the index of its right one in the gallery, shape (n,).

    Raises:
        ValueError: indices that are no whole numbers, of a different number, or outside the
            gallery.

    >>> eye = torch.eye(3)
    >>> retrieval_ranks(eye, eye, [0, 1, 2]).tolist(), retrieval_ranks(eye[:1], eye, [2]).tolist()
    ([0, 0, 0], [2])
    """
    right = whole_numbers("right", right, len(queries))
    inside = ((right >= 0) & (right < len(gallery))).all()
    require(inside, "right", f"indices from 0 to {len(gallery) - 1}", right.tolist())
    similarity = queries @ gallery.to(queries).T
    own = similarity.gather(1, right[:, None].to(queries.device))
    # Not "as near or nearer": NaN counts against the query, too.
    return (~(similarity < own)).sum(1) - 1


def occlusion(
    model: PreTrainedModel, processor: ProcessorMixin, image: Image.Image, text: str
) -> Tensor:
    """Return how much of a cosine is lost when a square is hidden (Zeiler & Fergus 2014).

    Args:
        image: one PIL image.
        text: what to look for.

    Returns:
        Cosine without minus cosine with the square, shape (7, 7), top row first; large where the
        model looked. The square has the picture's mean colour and a quarter of its side, and moves
        by half its own.
    """
    pixels = pixels_of(processor, [image])[0]
    side = pixels.shape[-1]
    width = math.ceil(side / 4)
    corners = [round(place * side / 8) for place in range(7)]
    hidden = [pixels]
    for top in corners:
        for left in corners:
            covered = pixels.clone()
            covered[:, top : top + width, left : left + width] = pixels.mean((1, 2), keepdim=True)
            hidden.append(covered)
    embeddings = embed_images(model, processor, torch.stack(hidden))
    cosines = embeddings @ embed_texts(model, processor, [text])[0]
    return (cosines[0] - cosines[1:]).view(len(corners), -1)


def checked_pixels(model: PreTrainedModel, processor: ProcessorMixin, images: Images) -> Tensor:
    """Return the pixels of PIL images or pixels; a ValueError names what the model cannot take."""
    pixels = images if isinstance(images, Tensor) else pixels_of(processor, images)
    check_pixels(pixels, model.config.vision_config.image_size)
    return pixels


def check_pixels(pixels: Tensor, side: int) -> None:
    """Raise a ValueError unless pixels are finite, of shape (n, 3, side, side), n at least 1."""
    fits = pixels.is_floating_point() and len(pixels) > 0 and pixels.shape[1:] == (3, side, side)
    expected = f"fractions of shape (n, 3, {side}, {side}), n at least 1"
    require(fits, "pixels", expected, f"{pixels.dtype} of shape {tuple(pixels.shape)}")
    require(pixels.isfinite().all(), "pixels", "finite numbers", "NaN or infinity")


def whole_numbers(name: str, values: ArrayLike | Tensor, count: int) -> Tensor:
    """Return a list, array, Series or tensor of whole numbers as a tensor (count,) on the CPU.

    Raises:
        ValueError: words, fractions, missing values or a different length.
    """
    if isinstance(values, Tensor):
        values = values.cpu()
    try:
        # By way of objects: a Series of pandas' own whole numbers holds objects, too.
        array = np.array(np.asarray(values, dtype=object).tolist())
    except (TypeError, ValueError):  # lists of different lengths
        array = np.array(None)
    expected = f"{count} whole numbers (for words, each word's index in the list of names)"
    fits = array.dtype.kind in "iub" and array.shape == (count,)
    require(fits, name, expected, array.tolist())
    return torch.from_numpy(array.astype(np.int64))


def _words(
    processor: ProcessorMixin, name: str, texts: list[str]
) -> list[tuple[bool, tuple[int, ...]]]:
    """Return whether each text has unknown words, and the ids of its known ones within the context.

    Raises:
        ValueError: a text without a known word.
    """
    tokenizer = processor.tokenizer
    found = []
    for text, ids in zip(texts, tokenizer(texts, truncation=True)["input_ids"]):
        # Without the marks of start and end; OpenAI's end is also its mark for what is unknown.
        own = ids[1:-1]
        # Marks of unknown letters decode to nothing; ▁ is sentencepiece's mark of a blank.
        letters = [tokenizer.decode([token], skip_special_tokens=True) for token in own]
        known = tuple(token for token, word in zip(own, letters) if word.strip(" ▁"))
        require(len(known) > 0, name, READABLE, text)
        found.append((tokenizer.unk_token_id in own, known))
    return found


def in_parts(
    model: Module,
    compute: Callable[[Tensor], Tensor],
    pixels: Tensor,
    batch_size: int = BATCH,
) -> Tensor:
    """Return what `compute` gives for pixels, part by part, on the CPU and without gradient.

    Meanwhile the model evaluates.
    """
    parts = pixels.split(whole("batch_size", batch_size, 1))
    with torch.inference_mode(), _evaluating(model):
        found = torch.cat([compute(part).cpu() for part in parts])
    # A copy made outside of inference mode may be used for training.
    return found.clone()


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Put a model into evaluation mode for a block; then each part is again in its own mode."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
