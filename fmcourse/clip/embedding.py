"""Where do pictures and texts lie in the shared space? Unit rows, zero-shot heads, ranks and occlusion maps.

Serves notebook 03, sections 1, 2 and the retrieval. Source: Radford et al. 2021, sections 2.3 and 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fmcourse.arguments import require

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from transformers import PreTrainedModel, ProcessorMixin

__all__ = [
    "TEMPLATES",
    "embed_images",
    "embed_texts",
    "encode_pixels",
    "encode_tokens",
    "occlusion",
    "pixels_of",
    "retrieval_ranks",
    "zero_shot_head",
]

TEMPLATES = (
    "{}",
    "a drawing of {}",
    "an emoji of {}",
    "a picture of {}",
    "{} icon",
)  # those of the bundled model's captions
BATCH = 128
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")


def pixels_of(processor: ProcessorMixin, images: Sequence[Image.Image]) -> torch.Tensor:
    """Return what the model sees of some pictures: resized, laid on white, normalized.

    Args:
        processor: the one that belongs to the model.
        images: PIL images of any size, of mode 1, L, LA, P, PA, RGB, RGBA or CMYK.

    Returns:
        A new tensor, shape (n, 3, side, side), float32, on the CPU.

    Raises:
        ValueError: no image, something that is no image, another mode, or a side of 0 pixels.
    """
    require(
        _several(images) and len(images) > 0, "images", "a list of PIL images, at least one", images
    )
    rows = [_on_white(place, image) for place, image in enumerate(images)]
    return processor.image_processor(images=rows, return_tensors="pt")["pixel_values"]


def embed_images(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image] | torch.Tensor,
    batch_size: int = BATCH,
) -> torch.Tensor:
    """Return one unit row per picture.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`; transformers 4 and 5 give the same rows.
        images: PIL images, or pixels of :func:`pixels_of`, shape (n, 3, side, side).
        batch_size: pictures per pass; the rows do not depend on it beyond rounding.

    Returns:
        A new tensor, shape (n, d), on the CPU, without gradient.

    Raises:
        ValueError: see :func:`pixels_of`; pixels of another shape than the model's, or that are not finite.
    """
    import torch

    pixels = checked_pixels(model, processor, images)
    like = next(model.parameters())
    with torch.inference_mode(), _evaluating(model):
        rows = [
            encode_pixels(model, part.to(like.device, like.dtype)).cpu()
            for part in pixels.split(batch_size)
        ]
    return torch.cat(rows).clone()


def embed_texts(
    model: PreTrainedModel, processor: ProcessorMixin, texts: Sequence[str], batch_size: int = BATCH
) -> torch.Tensor:
    """Return one unit row per text, shape (n, d), on the CPU; a text longer than the model's context is cut.

    Raises:
        ValueError: no text, one string in place of a list, or something that is no string.
    """
    import torch

    texts = list(texts) if _several(texts) else texts
    fine = (
        isinstance(texts, list) and len(texts) > 0 and all(isinstance(text, str) for text in texts)
    )
    require(fine, "texts", "a list of strings, at least one", texts)
    device = next(model.parameters()).device
    rows = []
    with torch.inference_mode(), _evaluating(model):
        for first in range(0, len(texts), batch_size):
            batch = processor.tokenizer(
                texts[first : first + batch_size],
                padding=True,
                truncation=True,
                return_tensors="pt",
            )
            rows.append(encode_tokens(model, batch.to(device)).cpu())
    return torch.cat(rows).clone()


def encode_pixels(model: PreTrainedModel, pixels: torch.Tensor) -> torch.Tensor:
    """Return unit rows of pixels, shape (n, d), with gradient: the picture tower, its projection, the norm."""
    from torch.nn import functional

    return functional.normalize(project_pixels(model, pixels), dim=-1)


def encode_tokens(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return unit rows of tokens (keys input_ids and attention_mask, shape (n, tokens)), shape (n, d), with gradient."""
    from torch.nn import functional

    return functional.normalize(project_tokens(model, batch), dim=-1)


def project_pixels(model: PreTrainedModel, pixels: torch.Tensor) -> torch.Tensor:
    """Return rows of pixels before they are brought to length 1, shape (n, d), with gradient."""
    return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output.flatten(1))


def project_tokens(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return rows of tokens before they are brought to length 1, shape (n, d), with gradient."""
    kept = {name: batch[name] for name in ("input_ids", "attention_mask")}
    return model.text_projection(model.text_model(**kept).pooler_output)


def zero_shot_head(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    names: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> torch.Tensor:
    """Return a classifier made of words: for each name the mean of its templates' rows, brought to length 1.

    Args:
        names: one per class.
        templates: sentences with a slot ``{}`` for the name (Radford et al. 2021, section 3.1.4).

    Returns:
        Unit rows, shape (classes, d); the class of a picture is the row with the largest dot product.

    Raises:
        ValueError: no name, no template, or a template without a slot.
    """
    import torch
    from torch.nn import functional

    require(
        _several(names) and len(names) > 0, "names", "a list of class names, at least one", names
    )
    require(
        _several(templates) and len(templates) > 0,
        "templates",
        "a list of templates, at least one",
        templates,
    )
    for template in templates:
        require(template.count("{}") == 1, "templates", "one slot {} in each template", template)
    filled = [
        embed_texts(model, processor, [template.format(name) for name in names])
        for template in templates
    ]
    return functional.normalize(torch.stack(filled).mean(0), dim=-1)


def retrieval_ranks(
    queries: torch.Tensor, gallery: torch.Tensor, right: Sequence[int] | torch.Tensor
) -> torch.Tensor:
    """Return how many of the gallery's other rows lie at least as near to each query as its right one, shape (n,).

    A rank of 0 is a find; recall@k is the share of ranks below k. Ties count against the query, so that a model
    which gives every picture the same row finds nothing.

    Args:
        queries: unit rows, shape (n, d).
        gallery: unit rows, shape (m, d).
        right: for each query the place of its right row in the gallery, shape (n,).

    >>> import torch
    >>> eye = torch.eye(3)
    >>> retrieval_ranks(eye, eye, [0, 1, 2]).tolist(), retrieval_ranks(eye[:1], eye, [2]).tolist()
    ([0, 0, 0], [2])
    """
    import torch

    right = torch.as_tensor(right).to(queries.device)
    require(
        right.shape == (len(queries),),
        "right",
        f"one place for each of the {len(queries)} queries",
        tuple(right.shape),
    )
    similarity = queries @ gallery.to(queries.device).T
    own = similarity.gather(1, right[:, None])
    return (~(similarity < own)).sum(1) - 1  # so that NaN counts against the query too


def occlusion(
    model: PreTrainedModel, processor: ProcessorMixin, image: Image.Image, text: str, patch: int = 4
) -> torch.Tensor:
    """Return how much of the picture's nearness to the text is lost when a square of it is hidden (Zeiler & Fergus 2014).

    Args:
        image: one PIL image.
        text: what to look for.
        patch: the square's side, as a share: a quarter of the picture's side for 4. It moves by half its side.

    Returns:
        Cosine without minus cosine with the square, shape (2 * patch - 1, 2 * patch - 1), top row first; large where
        the model looked. The square has the picture's mean colour.

    Raises:
        ValueError: a patch below 2 or over half as many as the picture has pixels.
    """
    pixels = pixels_of(processor, [image])
    side = pixels.shape[-1]
    require(
        isinstance(patch, int) and 2 <= patch <= side // 2,
        "patch",
        f"a whole number from 2 to {side // 2}",
        patch,
    )
    hidden, width = [pixels[0]], -(-side // patch)
    for top, left in _corners(side, patch):
        covered = pixels[0].clone()
        covered[:, top : top + width, left : left + width] = pixels[0].mean((1, 2))[:, None, None]
        hidden.append(covered)
    import torch

    nearness = (
        embed_images(model, processor, torch.stack(hidden))
        @ embed_texts(model, processor, [text])[0]
    )
    return (nearness[0] - nearness[1:]).view(2 * patch - 1, 2 * patch - 1)


def checked_pixels(
    model: PreTrainedModel, processor: ProcessorMixin, images: Sequence[Image.Image] | torch.Tensor
) -> torch.Tensor:
    """Return pixels, shape (n, 3, side, side), of PIL images or of pixels; a ValueError names what the model cannot take."""
    import torch

    pixels = images if isinstance(images, torch.Tensor) else pixels_of(processor, images)
    check_pixels(pixels, model.config.vision_config.image_size)
    return pixels


def check_pixels(pixels: torch.Tensor, side: int) -> None:
    """Raise a ValueError unless pixels are finite and of shape (n, 3, side, side), n at least 1."""
    fits = pixels.ndim == 4 and len(pixels) > 0 and pixels.shape[1:] == (3, side, side)
    require(fits, "pixels", f"shape (n, 3, {side}, {side}), n at least 1", tuple(pixels.shape))
    require(bool(pixels.isfinite().all()), "pixels", "finite numbers", "NaN or infinity")


def _corners(side: int, patch: int) -> Iterator[tuple[int, int]]:
    steps = [round(place * side / patch / 2) for place in range(2 * patch - 1)]
    return ((top, left) for top in steps for left in steps)


def _several(values: object) -> bool:
    return (
        hasattr(values, "__len__")
        and hasattr(values, "__getitem__")
        and not isinstance(values, (str, bytes, dict))
    )


def _on_white(place: int, image: Image.Image) -> Image.Image:
    from PIL import Image

    require(isinstance(image, Image.Image), f"images[{place}]", "a PIL image", image)
    require(
        image.mode in MODES,
        f"images[{place}]",
        f"an image of mode {', '.join(MODES)}",
        f"mode {image.mode}",
    )
    require(
        min(image.size) > 0,
        f"images[{place}]",
        "at least one pixel on each side",
        f"size {image.size}",
    )
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


class _evaluating:
    """A block in which a model is in evaluation mode; afterwards each part of it is in the mode it came in."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.modes = model, [(part, part.training) for part in model.modules()]

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *error: object) -> None:
        for part, training in self.modes:
            part.training = training
