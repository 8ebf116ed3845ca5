"""Which repository and ref do the badges and install cells name? One place says it, one command changes it.

The place is ``[tool.fmcourse]`` in pyproject.toml; the command rewrites it and every address made from it::

    python -m tools.retarget owner/name main
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Target", "read_target", "retarget"]

ROOT = Path(__file__).resolve().parent.parent
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
WRITTEN_IN = ("*.md", "*.cff", "pyproject.toml", "notebooks/*.ipynb")


@dataclass(frozen=True)
class Target:
    """A repository on GitHub, as owner/name, and a branch, tag or commit of it.

    >>> Target("ada/course", "main").badge("00_the_report.ipynb")
    'https://colab.research.google.com/github/ada/course/blob/main/notebooks/00_the_report.ipynb'
    """

    slug: str
    ref: str

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.slug):
            raise ValueError(f"slug: expected owner/name as on GitHub, got {self.slug!r}")
        if not REF.fullmatch(self.ref):
            raise ValueError(f"ref: expected a branch, tag or commit, got {self.ref!r}")

    def badge(self, notebook: str) -> str:
        """Return the address that opens a notebook, given by its file name, in Colab."""
        return f"https://colab.research.google.com/github/{self.slug}/blob/{self.ref}/notebooks/{notebook}"

    @property
    def archive(self) -> str:
        """The address that an install cell hands to pip."""
        return f"https://github.com/{self.slug}/archive/{self.ref}.zip"


def read_target(root: Path = ROOT) -> Target:
    """Return the target that ``pyproject.toml`` in `root` names.

    Raises:
        KeyError: the file has no ``[tool.fmcourse]`` with ``repository`` and ``ref``.
    """
    settings = (
        tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        .get("tool", {})
        .get("fmcourse", {})
    )
    missing = {"repository", "ref"} - settings.keys()
    if missing:
        raise KeyError(
            f"pyproject.toml: [tool.fmcourse] lacks {' and '.join(sorted(missing))}; add owner/name and a ref"
        )
    return Target(settings["repository"], settings["ref"])


def retarget(new: Target, root: Path = ROOT) -> list[Path]:
    """Write `new` in place of the present target wherever it stands; return the files that changed."""
    old, changed = read_target(root), []
    for path in sorted({path for pattern in WRITTEN_IN for path in root.glob(pattern)}):
        before = path.read_bytes().decode("utf-8")
        after = _rewrite(before, old, new)
        if path.name == "pyproject.toml":
            after = _rewrite_settings(after, new)
        if after != before:
            path.write_bytes(after.encode("utf-8"))
            changed.append(path)
    return changed


def _rewrite(text: str, old: Target, new: Target) -> str:
    """Change the addresses in a text, those with a ref before the bare ones."""
    slug, ref = re.escape(old.slug), re.escape(old.ref)
    addresses = {
        rf"(github(?:\.com)?/){slug}/(blob|tree|raw)/{ref}/": rf"\g<1>{new.slug}/\g<2>/{new.ref}/",
        rf"(github\.com/){slug}/archive/{ref}\.zip": rf"\g<1>{new.slug}/archive/{new.ref}.zip",
        rf"(raw\.githubusercontent\.com/){slug}/{ref}/": rf"\g<1>{new.slug}/{new.ref}/",
        rf"(github\.com/){slug}(?![\w-])": rf"\g<1>{new.slug}",
    }
    for pattern, replacement in addresses.items():
        text = re.sub(pattern, replacement, text)
    return text


def _rewrite_settings(text: str, new: Target) -> str:
    """Change the two values of ``[tool.fmcourse]``, and nothing else of pyproject.toml."""
    before, heading, rest = text.partition("[tool.fmcourse]")
    table, bracket, after = rest.partition("\n[")
    table = re.sub(r'(?m)^(repository\s*=\s*)"[^"]*"', rf'\g<1>"{new.slug}"', table)
    table = re.sub(r'(?m)^(ref\s*=\s*)"[^"]*"', rf'\g<1>"{new.ref}"', table)
    return before + heading + table + bracket + after


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.retarget", description="Move the course to another repository or ref."
    )
    parser.add_argument("slug", help="owner/name on GitHub")
    parser.add_argument(
        "ref", nargs="?", default="main", help="branch, tag or commit (default: main)"
    )
    chosen = parser.parse_args(arguments)
    try:
        changed = retarget(Target(chosen.slug, chosen.ref))
    except (ValueError, KeyError) as error:
        print(f"{error.args[0]}; as in: make retarget SLUG=owner/name REF=main", file=sys.stderr)
        return 1
    for path in changed:
        print(f"rewrote {path.relative_to(ROOT)}")
    print(f"{len(changed)} files now name {chosen.slug} at {chosen.ref}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
