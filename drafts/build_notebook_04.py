"""Compose notebook 04 from old cells (by id) and new ones."""
import json, sys
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
sys.path.insert(0, sys.argv[1] if len(sys.argv) > 1 else ".")
from tools.form import write

ROOT = sys.argv[1] if len(sys.argv) > 1 else '.'
PATH = ROOT + "/drafts/notebook_04_old.ipynb"
OLD = "drafts/notebook_04_old.ipynb"
old = {c.id: c for c in nbformat.read(OLD, 4).cells}
manifest = {e["file"] for e in json.load(open(ROOT + "/fmcourse/bundled/manifest.json"))["files"]}
SWEEP = "decoding-frontier.json" in manifest
STUDY = "memorization.json" in manifest
cells = []
count = 0

def add(kind, source, *tags, id=None):
    make = new_code_cell if kind == "c" else new_markdown_cell
    cell = make(source.strip("\n"))
    cell.id = id or f"gen-{len(cells):02d}"
    if tags: cell.metadata["tags"] = list(tags)
    cells.append(cell)

def md(source, *tags, id=None): add("m", source, *tags, id=id)
def code(source, *tags, id=None): add("c", source, *tags, id=id)
def keep(id, *tags): cells.append(old[id]) if not tags else add("c" if old[id].cell_type=="code" else "m", old[id].source, *tags, id=id)
CHECK = "nbval-check-output"

exec(open("drafts/notebook_04_content.py").read())

nb = nbformat.v4.new_notebook(cells=cells)
from pathlib import Path
write(nb, Path(PATH))
core = sum("core" in c.metadata.get("tags", []) for c in cells)
chk = sum(CHECK in c.metadata.get("tags", []) for c in cells)
import statistics
lines=[sum(1 for l in c.source.splitlines() if l.strip()) for c in cells if c.cell_type=="code"]
print(len(cells), "cells", core, "core", chk, "checked; median", statistics.median(lines), "max", max(lines))
