"""Emoji in six drawing styles: one table a style, and 300 concepts that no bundled model ever trains on.

Drawings are SVG from Iconify's packages, rendered at 64x64; names, keywords and groups are those of emojibase-data.
A drawing belongs to the emoji whose code points its package gives; Noto v1 and EmojiOne give none, and are matched by
icon name through Noto's names and the labels. Colours are kept in steps of 5 of 255 and alpha in steps of 17, which no
eye sees at this size and which saves a fifth of the bytes; the WebP that holds them is lossless.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import time
import unicodedata
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import resvg_py
from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from recipes.common import BUNDLED, npm_package, register

SIZE = 64
COLOUR_STEP, ALPHA_STEP = 5, 17  # both divide 255, so that black, white and opaque stay exact
EMOJIBASE = ("emojibase-data", "17.0.0")
NAMES = "names and keywords: emojibase-data by Miles Johnson (MIT), from Unicode CLDR"
STYLES = {
    "noto": ("1.2.9", "Apache-2.0", "Noto Emoji by Google"),
    "noto-v1": ("1.2.5", "Apache-2.0", "Noto Emoji, first version, by Google"),
    "fluent-emoji-flat": ("1.2.6", "MIT", "Fluent Emoji Flat, copyright Microsoft Corporation"),
    "twemoji": ("1.2.5", "CC-BY-4.0", "Twemoji, copyright Twitter, Inc and other contributors"),
    "emojione": ("1.2.3", "CC-BY-4.0", "EmojiOne 2.3 (EmojiTwo), emoji artwork by Emoji One"),
    "openmoji": ("1.2.29", "CC-BY-SA-4.0", "OpenMoji, the open-source emoji and icon project"),
}
TRAINING_STYLES = [style for style in STYLES if style != "openmoji"]
TONES = {1: "light", 2: "medium-light", 3: "medium", 4: "medium-dark", 5: "dark"}
FEMALE, MALE = (
    {"woman", "women", "girl", "princess", "mrs", "mermaid"},
    {"man", "men", "boy", "prince", "santa", "merman"},
)
FORMER_NAMES = {  # names that CLDR gave earlier, as the older packages still have them
    "dizzy-face": "face-with-crossed-out-eyes",
    "hugging-face": "smiling-face-with-open-hands",
    "flag-macau-sar-china": "flag-macao-sar-china",
    "flag-macedonia": "flag-north-macedonia",
    "flag-swaziland": "flag-eswatini",
    "flag-cocos-islands": "flag-cocos-keeling-islands",
    "flag-myanmar": "flag-myanmar-burma",
    "flag-turkey": "flag-turkiye",
}
FEATURES = Features(
    {
        "image": Image(),
        "name": Value("string"),
        "keywords": List(Value("string")),
        "group": Value("string"),
        "subgroup": Value("string"),
        "style": Value("string"),
        "skin_tone": Value("string"),
        "gender": Value("string"),
        "codepoints": Value("string"),
    }
)
SEED = 0
HELD_OUT = 300
RULE = (
    "A concept is an emoji without its skin tones, flags apart, drawn in OpenMoji and in at least four of the five other "
    "styles. Near-twins (gendered forms, directions, colours, one head noun in one subgroup, identical drawings) make a "
    "family, and whole families of at most 8 are drawn with a fixed seed, in proportion to the groups. No model of this "
    "course trains on a concept, on its skin tones, or on the twins, which are members of a drawn family that too few "
    "styles have."
)
LARGEST_FAMILY = (
    8  # larger families always train, so that no family dominates the held-out concepts
)
WHOLE_SUBGROUPS = {"person", "family", "keycap", "arrow", "monkey-face", "geometric"}
NO_HEAD_NOUN = set(
    "face button sign symbol hand person woman man machine worker mark food object".split()
)
VARIANTS = re.compile(
    r"\b(up|down|left|right|upwards|downwards|leftwards|rightwards|oncoming|tilted"
    r"|red|orange|yellow|green|blue|purple|brown|black|white|grey|pink)\b"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "styles", nargs="*", default="all", choices=[*STYLES, "all"], metavar="style"
    )
    chosen = parser.parse_args().styles
    emoji = read_emoji()
    for style in STYLES if "all" in chosen else chosen:
        make(style, emoji)
    hold_out(emoji)


def make(style: str, emoji: dict[str, dict]) -> None:
    """Render one style and write its table."""
    start = time.time()
    version, licence, author = STYLES[style]
    icons = matched(style, emoji)
    rows = [
        {
            **emoji[code],
            "style": style,
            "image": {"bytes": picture(style, icons[code]), "path": None},
        }
        for code in emoji
        if code in icons
    ]
    table = pa.table(
        {column: [row[column] for row in rows] for column in FEATURES}, schema=FEATURES.arrow_schema
    )
    path = BUNDLED / f"emoji-{style}.parquet"
    partial = path.with_suffix(".partial")
    repeated = ["group", "subgroup", "style", "skin_tone", "gender"]
    pq.write_table(
        table,
        partial,
        compression="zstd",
        compression_level=22,
        use_dictionary=repeated,
        data_page_size=2**26,
    )
    os.replace(partial, path)
    register(
        path,
        licence=licence,
        attribution=f"{author}; {NAMES}",
        sources=[f"npm @iconify-json/{style} {version}", f"npm {' '.join(EMOJIBASE)}"],
        recipe="recipes/emoji.py",
        settings={
            "size": SIZE,
            "colour_step": COLOUR_STEP,
            "alpha_step": ALPHA_STEP,
            "rows": len(rows),
        },
        seconds=time.time() - start,
    )
    print(
        f"{style}: {len(rows)} emoji, {path.stat().st_size / 1e6:.2f} MB, {time.time() - start:.0f} s",
        flush=True,
    )


def read_emoji() -> dict[str, dict]:
    """Map code points (without FE0F) to an emoji's columns, in the Unicode order; letters and hair parts are left out."""
    folder = npm_package(*EMOJIBASE)
    groups = json.loads((folder / "meta" / "groups.json").read_text(encoding="utf-8"))
    emoji = {}
    for base in json.loads((folder / "en" / "data.json").read_text(encoding="utf-8")):
        group = groups["groups"].get(str(base.get("group")), "component")
        for form in [] if group == "component" else [base, *base.get("skins", [])]:
            emoji[bare(form["hexcode"])] = {
                "name": form["label"],
                "keywords": base.get("tags", []),
                "group": group,
                "subgroup": groups["subgroups"][str(base["subgroup"])],
                "skin_tone": tones(form.get("tone", [])),
                "gender": gender(base["label"]) if group == "people-body" else "none",
                "codepoints": bare(form["hexcode"]),
                "base": bare(base["hexcode"]),
                "order": form["order"],
            }
    return dict(sorted(emoji.items(), key=lambda item: item[1]["order"]))


def bare(hexcode: str) -> str:
    """Return code points in capitals without FE0F, the mark that asks for a picture.

    >>> bare("2764-fe0f")
    '2764'
    """
    return "-".join(code for code in hexcode.upper().split("-") if code != "FE0F")


def tones(tone: int | list[int]) -> str:
    """Name the skin tones of a form: ``none``, one, or two joined by a comma."""
    return ", ".join(TONES[t] for t in ([tone] if isinstance(tone, int) else tone)) or "none"


def gender(label: str) -> str:
    """Return the genders that a person's label names: ``none``, ``female``, ``male`` or ``female, male``."""
    words = set(re.findall(r"[a-z]+", label.lower()))
    return (
        ", ".join(name for name, own in (("female", FEMALE), ("male", MALE)) if words & own)
        or "none"
    )


def matched(style: str, emoji: dict[str, dict]) -> dict[str, dict]:
    """Map code points to an icon: its SVG body, width, height and flip."""
    folder, icons = icon_set(style)
    chars = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
    if chars:
        return {bare(code): icons[name] for code, name in chars.items() if bare(code) in emoji}
    found, used = {}, set()
    exact, former = names_of(emoji)
    for names, own in (
        (exact, True),
        (former, True),
        (exact, False),
        (former, False),
    ):  # an alias only when nothing better
        for name, icon in icons.items():
            code = names.get(present_name(name))
            if (
                code in emoji
                and code not in found
                and icon["name"] not in used
                and (icon["name"] == name) == own
            ):
                found[code] = icon
                used.add(icon["name"])
    return found


def icon_set(style: str) -> tuple:
    """Return a style's folder and a mapping of icon names, aliases included, to what is drawn."""
    folder = npm_package(f"@iconify-json/{style}", STYLES[style][0])
    content = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    size = {"width": content["width"], "height": content["height"], "hFlip": False}
    icons = {name: {**size, **icon, "name": name} for name, icon in content["icons"].items()}
    for name, alias in content.get("aliases", {}).items():
        assert set(alias) <= {"parent", "hFlip"}, f"an alias that this recipe cannot draw: {name}"
        flipped = {"hFlip": True, "name": name} if alias.get("hFlip") else {}
        icons[name] = {**icons[alias["parent"]], **flipped}
    return folder, icons


def names_of(emoji: dict[str, dict]) -> tuple[dict[str, str], dict[str, str]]:
    """Map icon names to code points: Noto's own names over labels, and apart from them Noto's aliases."""
    folder, icons = icon_set("noto")
    chars = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
    noto = {name: bare(code) for code, name in chars.items()}
    aliases = {
        name: noto[icon["name"]]
        for name, icon in icons.items()
        if name not in noto and icon["name"] in noto
    }
    labels = {slug(row["name"]): code for code, row in emoji.items()}
    return {name: code for name, code in {**labels, **noto}.items() if name not in aliases}, aliases


def slug(label: str) -> str:
    """Return a label as icon names are written.

    >>> slug("flag: Côte d’Ivoire"), slug("waving hand: light skin tone")
    ('flag-cote-divoire', 'waving-hand-light-skin-tone')
    """
    plain = (
        unicodedata.normalize("NFKD", label.replace("&", "and"))
        .encode("ascii", "ignore")
        .decode()
        .lower()
    )
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"[.']", "", plain)).strip("-")


def present_name(icon: str) -> str:
    """Return today's name of an icon.

    >>> present_name("flag-for-flag-japan"), present_name("flag-for-black-flag"), present_name("hugging-face")
    ('flag-japan', 'black-flag', 'smiling-face-with-open-hands')
    """
    icon = re.sub(r"^flag-for-(flag-)?", "flag-", icon)
    icon = re.sub(r"^flag-(.*-flags?)$", r"\1", icon)
    return FORMER_NAMES.get(icon, icon)


def picture(style: str, icon: dict) -> bytes:
    """Render an icon, centred in a square, and return it as lossless WebP, RGBA, SIZE x SIZE."""
    width, height = icon["width"], icon["height"]
    side = max(width, height)
    flip = f' transform="translate({width} 0) scale(-1 1)"' if icon["hFlip"] else ""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{side}" height="{side}" '
        f'viewBox="{(width - side) / 2} {(height - side) / 2} {side} {side}"><g{flip}>{icon["body"]}</g></svg>'
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


def hold_out(emoji: dict[str, dict]) -> None:
    """Draw whole families of near-twins until 300 concepts are held out, and write them."""
    start = time.time()
    drawings = {style: matched(style, emoji) for style in STYLES}
    concepts = [
        row for row in emoji.values() if row["skin_tone"] == "none" and row["group"] != "flags"
    ]
    family = families(concepts, drawings)
    eligible = {
        row["codepoints"]
        for row in concepts
        if row["codepoints"] in drawings["openmoji"]
        and sum(row["codepoints"] in drawings[style] for style in TRAINING_STYLES) >= 4
    }
    drawn = draw(concepts, family, eligible)
    entries = [entry(row, family) for row in concepts if family[row["codepoints"]] in drawn]
    content = {
        "concepts": [e for e in entries if e["codepoints"] in eligible],
        "twins": [e for e in entries if e["codepoints"] not in eligible],
        "rule": RULE,
    }
    path = BUNDLED / "emoji-held-out.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
    register(
        path,
        licence="MIT",
        attribution=NAMES,
        sources=[f"npm {' '.join(EMOJIBASE)}"],
        recipe="recipes/emoji.py",
        settings={"seed": SEED, "concepts": HELD_OUT, "largest_family": LARGEST_FAMILY},
        seconds=time.time() - start,
    )


def entry(row: dict, family: dict[str, str]) -> dict[str, str]:
    return {
        "name": row["name"],
        "codepoints": row["codepoints"],
        "family": family[row["codepoints"]],
    }


def draw(concepts: list[dict], family: dict[str, str], eligible: set[str]) -> set[str]:
    """Return the names of the held-out families: HELD_OUT eligible concepts in all, in proportion to the groups."""
    members = defaultdict(list)
    for row in concepts:
        if row["codepoints"] in eligible:
            members[family[row["codepoints"]]].append(row["group"])
    totals = defaultdict(int)
    for row in concepts:
        totals[row["group"]] += row["codepoints"] in eligible
    names = sorted(name for name, groups in members.items() if len(groups) <= LARGEST_FAMILY)
    random.Random(SEED).shuffle(names)
    drawn, counts, shares = set(), defaultdict(int), quotas(totals)
    for name in names:
        group, size = members[name][0], len(members[name])
        if counts[group] + size <= shares[group]:
            drawn.add(name)
            counts[group] += size
    assert dict(counts) == {g: n for g, n in shares.items() if n}, (
        "a group's share could not be filled exactly"
    )
    return drawn


def quotas(totals: dict[str, int]) -> dict[str, int]:
    """Share HELD_OUT among groups in proportion to their totals; largest remainders get the rest."""
    exact = {group: HELD_OUT * n / sum(totals.values()) for group, n in totals.items()}
    shares = {group: int(x) for group, x in exact.items()}
    for group in sorted(exact, key=lambda g: shares[g] - exact[g])[
        : HELD_OUT - sum(shares.values())
    ]:
        shares[group] += 1
    return shares


def families(concepts: list[dict], drawings: dict[str, dict]) -> dict[str, str]:
    """Map the code points of each concept to its family's name, the first member's label."""
    parent = {row["codepoints"]: row["codepoints"] for row in concepts}

    def root(code: str) -> str:
        while parent[code] != code:
            code = parent[code]
        return code

    order = {row["codepoints"]: place for place, row in enumerate(concepts)}
    first = {}
    for row in concepts:
        for trait in traits(row, drawings):
            a, b = root(first.setdefault(trait, row["codepoints"])), root(row["codepoints"])
            parent[max(a, b, key=order.get)] = min(a, b, key=order.get)
    label = {row["codepoints"]: row["name"] for row in concepts}
    return {code: label[root(code)] for code in parent}


def traits(row: dict, drawings: dict[str, dict]) -> list[tuple]:
    """List what makes two concepts near-twins when they share it."""
    label, subgroup = row["name"].lower(), row["subgroup"]
    found = [
        ("drawing", style, icons[row["codepoints"]]["body"])
        for style, icons in drawings.items()
        if row["codepoints"] in icons
    ]
    found.append(("person", person_form(row["codepoints"])))
    if subgroup in WHOLE_SUBGROUPS:
        found.append(("subgroup", subgroup))
    if subgroup == "time" and re.search("o’clock|thirty", label):
        found.append(("clock",))
    if "moon" in label and subgroup == "sky-weather":
        found.append(("moon",))
    words = re.findall(
        r"[\w’-]+", VARIANTS.sub("", re.split(r" with |: | without | showing ", label)[0])
    )
    if row["group"] == "animals-nature":
        words = [word for word in words if word != "face"] or words
    if words and words[-1] not in NO_HEAD_NOUN:
        found.append(("head noun", subgroup, words[-1]))
    if len(words) > 1:
        found.append(("words", subgroup, " ".join(words)))
    return found


def person_form(code: str) -> str:
    """Return code points without what tells men, women and directions apart."""
    same = {
        "1F468": "1F9D1",
        "1F469": "1F9D1",
        "1F57A": "1F483",
        "1F934": "1F478",
        "1FAC5": "1F478",
        "1F936": "1F385",
    }
    same |= {
        "1F9D1-200D-1F384": "1F385",
        "1F930": "1FAC4",
        "1FAC3": "1FAC4",
        "1F931": "1F9D1-200D-1F37C",
    }
    code = "-".join(
        same.get(part, part) for part in re.sub(r"-200D-(2640|2642|27A1)", "", code).split("-")
    )
    return same.get(code, code)


if __name__ == "__main__":
    main()
