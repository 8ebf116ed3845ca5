"""Emoji as Unicode and six drawing styles have them: names, drawings and near-twins.

Used by the recipes that read emoji. A drawing belongs to the emoji whose code points its package
gives; Noto v1 and EmojiOne give none, and are matched by icon name through Noto's names and the
labels.
"""

import functools
import json
import re
import unicodedata

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fmcourse.files import read_toml
from recipes.common import ROOT, package

SIZE = 64
WORDS = read_toml(ROOT / "recipes" / "emoji_data.toml")
STYLES = WORDS["styles"]  # licence and author
TRAINING_STYLES = [style for style in STYLES if style != "openmoji"]
TONES = dict(enumerate(WORDS["tones"], 1))
VARIANTS = re.compile(
    r"\b(up|down|left|right|upwards|downwards|leftwards|rightwards|oncoming|tilted"
    r"|red|orange|yellow|green|blue|purple|brown|black|white|grey|pink)\b"
)


@functools.cache
def read_emoji():
    """Map code points (without FE0F) to an emoji's columns, in the Unicode order.

    Letters and hair parts are left out.
    """
    folder = package("emojibase-data")
    groups = json.loads((folder / "meta" / "groups.json").read_bytes())
    emoji = {}
    for base in json.loads((folder / "en" / "data.json").read_bytes()):
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


def bare(hexcode):
    """Return code points in capitals without FE0F, the mark that asks for a picture.

    >>> bare("2764-fe0f")
    '2764'
    """
    return "-".join(code for code in hexcode.upper().split("-") if code != "FE0F")


def tones(tone):
    """Name the skin tones of a form: ``none``, one, or two joined by a comma."""
    shown = [tone] if isinstance(tone, int) else tone
    return ", ".join(TONES[number] for number in shown) or "none"


def gender(label):
    """Return the genders that a person's label names: ``none``, ``female``, ``male`` or ``female,
    male``."""
    words = set(re.findall(r"[a-z]+", label.lower()))
    return ", ".join(name for name, own in WORDS["genders"].items() if words & set(own)) or "none"


def matched(style, emoji):
    """Map code points to an icon: its SVG body, width, height and flip."""
    icons, codes = icon_set(style)
    if codes:
        return {code: icons[name] for code, name in codes.items() if code in emoji}
    found, used = {}, set()
    # An alias of the icon comes last: it is taken only when there is nothing better.
    for own in (True, False):
        for names in names_of(emoji):
            for name, icon in icons.items():
                code = names.get(present_name(name))
                free = code in emoji and code not in found and icon["name"] not in used
                if free and (icon["name"] == name) == own:
                    found[code] = icon
                    used.add(icon["name"])
    return found


def icon_set(style):
    """Return what a style draws, by the names of icons and their aliases, and the names by code
    points, where the style has these."""
    folder = package(f"@iconify-json/{style}")
    content, chars = (
        json.loads((folder / file).read_bytes()) for file in ("icons.json", "chars.json")
    )
    size = {"width": content["width"], "height": content["height"], "hFlip": False}
    icons = {name: {**size, **icon, "name": name} for name, icon in content["icons"].items()}
    for name, alias in content.get("aliases", {}).items():
        assert set(alias) <= {"parent", "hFlip"}, f"an alias that this recipe cannot draw: {name}"
        flipped = {"hFlip": True, "name": name} if alias.get("hFlip") else {}
        icons[name] = {**icons[alias["parent"]], **flipped}
    return icons, {bare(code): name for code, name in chars.items()}


def names_of(emoji):
    """Map icon names to code points: Noto's own over labels, and apart from them its aliases."""
    icons, codes = icon_set("noto")
    noto = {name: code for code, name in codes.items()}
    aliases = {}
    for name, icon in icons.items():
        if name not in noto and icon["name"] in noto:
            aliases[name] = noto[icon["name"]]
    labels = {slug(row["name"]): code for code, row in emoji.items()}
    named = {name: code for name, code in {**labels, **noto}.items() if name not in aliases}
    return named, aliases


def slug(label):
    """Return a label as icon names are written.

    >>> slug("flag: Côte d’Ivoire"), slug("waving hand: light skin tone")
    ('flag-cote-divoire', 'waving-hand-light-skin-tone')
    """
    plain = unicodedata.normalize("NFKD", label.replace("&", "and"))
    plain = plain.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"[.']", "", plain)).strip("-")


def present_name(icon):
    """Return today's name of an icon.

    >>> present_name("flag-for-flag-japan"), present_name("flag-for-black-flag")
    ('flag-japan', 'black-flag')
    """
    icon = re.sub(r"^flag-for-(flag-)?", "flag-", icon)
    icon = re.sub(r"^flag-(.*-flags?)$", r"\1", icon)
    return WORDS["former_names"].get(icon, icon)


def families(concepts, drawings):
    """Map the code points of each concept to its family's name, the first member's label."""
    edges, first = [], {}
    for index, row in enumerate(concepts):
        for trait in traits(row, drawings):
            edges.append((index, first.setdefault(trait, index)))
    shape = (len(concepts), len(concepts))
    graph = coo_array((np.ones(len(edges)), np.array(edges).T), shape)
    _, components = connected_components(graph, directed=False)
    names = {}
    found = {}
    for row, component in zip(concepts, components.tolist()):
        found[row["codepoints"]] = names.setdefault(component, row["name"])
    return found


def traits(row, drawings):
    """List what makes two concepts near-twins when they share it."""
    label, subgroup = row["name"].lower(), row["subgroup"]
    found = [
        ("drawing", style, icons[row["codepoints"]]["body"])
        for style, icons in drawings.items()
        if row["codepoints"] in icons
    ]
    found.append(("person", person_form(row["codepoints"])))
    if subgroup in WORDS["whole_subgroups"]:
        found.append(("subgroup", subgroup))
    if subgroup == "time" and re.search("o’clock|thirty", label):
        found.append(("clock",))
    if "moon" in label and subgroup == "sky-weather":
        found.append(("moon",))
    plain = re.split(r" with |: | without | showing ", label)[0]
    words = re.findall(r"[\w’-]+", VARIANTS.sub("", plain))
    if row["group"] == "animals-nature":
        words = [word for word in words if word != "face"] or words
    if words and words[-1] not in WORDS["no_head_noun"]:
        found.append(("head noun", subgroup, words[-1]))
    if len(words) > 1:
        found.append(("words", subgroup, " ".join(words)))
    return found


def person_form(code):
    """Return code points without what tells men, women and directions apart."""
    parts = re.sub(r"-200D-(2640|2642|27A1)", "", code).split("-")
    code = "-".join(WORDS["same_person"].get(part, part) for part in parts)
    return WORDS["same_person"].get(code, code)
