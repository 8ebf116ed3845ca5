"""Emoji in six drawing styles: one table a style, and 300 concepts that no bundled model trains on.

Drawings are SVG from Iconify's packages, rendered at 64x64; names, keywords and groups are those of
emojibase-data. Colours are kept in steps of 5 of 255 and alpha in steps of 17, which no eye sees at
this size and which saves a fifth of the bytes; the WebP that holds them is lossless.
"""

import io
import json
import random
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from recipes.common import command_line, ship, source
from recipes.emoji_data import SIZE, STYLES, TRAINING_STYLES, families, matched, read_emoji

COLOUR_STEP, ALPHA_STEP = 5, 17  # both divide 255, so that black, white and opaque stay exact
NAMES = "names and keywords: emojibase-data by Miles Johnson (MIT), from Unicode CLDR"
TEXTS = ("group", "subgroup", "style", "skin_tone", "gender")
FEATURES = Features(
    {"image": Image(), "name": Value("string"), "keywords": List(Value("string"))}
    | dict.fromkeys([*TEXTS, "codepoints"], Value("string"))
)
SEED = 0
HELD_OUT = 300
RULE = (
    "A concept is an emoji without its skin tones, flags apart, drawn in OpenMoji and in at least "
    "four of the five other styles. Near-twins (gendered forms, directions, colours, one head noun "
    "in one subgroup, identical drawings) make a family, and whole families of at most 8 are drawn "
    "with a fixed seed, in proportion to the groups. No model of this course trains on a concept, "
    "on its skin tones, or on the twins, which are members of a drawn family that too few styles "
    "have."
)
LARGEST_FAMILY = 8  # larger families always train, so that none dominates what is held out


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=STYLES)
    emoji = read_emoji()
    if chosen.ships:
        for style in chosen.only:
            make(style, emoji)
        hold_out(emoji)


def make(style, emoji):
    """Render one style and write its table."""
    licence, author = STYLES[style]
    icons = matched(style, emoji)
    rows = []
    for code, row in emoji.items():
        if code in icons:
            image = {"bytes": picture(icons[code]), "path": None}
            rows.append(row | {"style": style, "image": image})
    ship(
        f"emoji-{style}.parquet",
        pa.Table.from_pylist(rows, FEATURES.arrow_schema),
        options={"use_dictionary": list(TEXTS), "data_page_size": 2**26},
        licence=licence,
        attribution=f"{author}; {NAMES}",
        sources=[source(f"@iconify-json/{style}"), source("emojibase-data")],
        recipe="emoji",
        settings={
            "size": SIZE,
            "colour_step": COLOUR_STEP,
            "alpha_step": ALPHA_STEP,
            "rows": len(rows),
        },
    )


def picture(icon):
    """Render an icon, centred in a square, and return it as lossless WebP, RGBA, SIZE x SIZE."""
    import resvg_py  # noqa: PLC0415 - the only use of an optional package

    width, height = icon["width"], icon["height"]
    side = max(width, height)
    flip = f' transform="translate({width} 0) scale(-1 1)"' if icon["hFlip"] else ""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side}" height="{side}" '
        f'viewBox="{(width - side) / 2} {(height - side) / 2} {side} {side}">'
        f"<g{flip}>{icon['body']}</g></svg>"
    )
    png = bytes(
        resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True)
    )
    pixels = np.asarray(Pictures.open(io.BytesIO(png)).convert("RGBA")).astype(int)
    step = np.array([COLOUR_STEP] * 3 + [ALPHA_STEP])
    pixels = (pixels + step // 2) // step * step
    pixels[pixels[..., 3] == 0] = 0
    file = io.BytesIO()
    Pictures.fromarray(pixels.astype(np.uint8)).save(
        file, "WEBP", lossless=True, quality=75, method=6, exact=True
    )
    return file.getvalue()


def hold_out(emoji):
    """Draw whole families of near-twins until enough concepts are held out, and write them."""
    drawings = {style: matched(style, emoji) for style in STYLES}
    concepts = [
        row for row in emoji.values() if row["skin_tone"] == "none" and row["group"] != "flags"
    ]
    family = families(concepts, drawings)
    enough = Counter(code for style in TRAINING_STYLES for code in drawings[style])
    eligible = {code for code in drawings["openmoji"] if enough[code] >= 4}
    drawn = draw(concepts, family, eligible)
    content = {"concepts": [], "twins": [], "rule": RULE}
    for row in concepts:
        code = row["codepoints"]
        if family[code] in drawn:
            entry = {"name": row["name"], "codepoints": code, "family": family[code]}
            content["concepts" if code in eligible else "twins"].append(entry)
    ship(
        "emoji-held-out.json",
        json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        licence="MIT",
        attribution=NAMES,
        sources=[source("emojibase-data")],
        recipe="emoji",
        settings={"seed": SEED, "concepts": HELD_OUT, "largest_family": LARGEST_FAMILY},
    )


def draw(concepts, family, eligible):
    """Return the names of the held-out families.

    They hold HELD_OUT eligible concepts in all, in proportion to the groups; the largest
    remainders get the rest.
    """
    rows = pd.DataFrame(concepts)
    rows = rows[rows["codepoints"].isin(eligible)]
    exact = HELD_OUT * rows["group"].value_counts(sort=False) / len(rows)
    wanted = exact.astype(int)
    rest = HELD_OUT - wanted.sum()
    wanted[(wanted - exact).sort_values(kind="stable").index[:rest]] += 1
    groups = rows.groupby(rows["codepoints"].map(family))["group"]
    sizes, first = groups.size(), groups.first()
    names = sorted(sizes.index[sizes <= LARGEST_FAMILY])
    random.Random(SEED).shuffle(names)
    drawn = set()
    for name in names:
        if sizes[name] <= wanted[first[name]]:
            drawn.add(name)
            wanted[first[name]] -= sizes[name]
    assert not wanted.any(), "a group's share could not be filled exactly"
    return drawn


if __name__ == "__main__":
    main()
