"""Changes the repository and the version that badges and install cells name, everywhere at once.

    python -m tools.retarget owner/name v0.2.0

``[tool.fmcourse]`` in pyproject.toml says what they name now; the command rewrites it too.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT

# The address until somebody puts the course on GitHub.
PLACEHOLDER = "fmcourse/fmcourse"
COLAB = "https://colab.research.google.com/github"
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
WRITTEN_IN = (
    "pyproject.toml",
    "*.md",
    "*.cff",
    "docs/*.md",
    ".github/**/*.yml",
    "notebooks/**/*.ipynb",
)


@dataclass(frozen=True)
class Target:
    """A repository on GitHub, as owner/name, and a tag, branch or commit of it.

    >>> Target("ada/course", "v1").archive
    'https://github.com/ada/course/archive/v1.zip'
    """

    slug: str
    ref: str

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.slug):
            raise ValueError(f"slug: expected owner/name as on GitHub, got {self.slug!r}")
        if not REF.fullmatch(self.ref):
            raise ValueError(f"ref: expected a tag, branch or commit, got {self.ref!r}")

    @property
    def archive(self) -> str:
        """The address that an install cell hands to pip."""
        return f"https://github.com/{self.slug}/archive/{self.ref}.zip"

    def badge(self, notebook: str) -> str:
        """Return the address that opens a notebook, given by its file name, in Colab."""
        return f"{COLAB}/{self.slug}/blob/{self.ref}/notebooks/{notebook}"


def read_target(root: Path = ROOT) -> Target:
    """Return the target that ``pyproject.toml`` in `root` names.

    Raises:
        KeyError: the file has no ``[tool.fmcourse]`` with ``repository`` and ``ref``.
    """
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    ours = settings["tool"]["fmcourse"]
    return Target(ours["repository"], ours["ref"])


def retarget(new: Target, root: Path = ROOT) -> list[Path]:
    """Write `new` in place of the present target everywhere; return the files that changed."""
    old = read_target(root)
    slug, ref = re.escape(old.slug), re.escape(old.ref)
    rules = {
        rf"(github(?:\.com)?)/{slug}/(blob|archive)/{ref}": rf"\1/{new.slug}/\2/{new.ref}",
        rf"(github\.com)/{slug}(?![\w-])": rf"\1/{new.slug}",
        # The settings of pyproject.toml.
        rf'\nrepository = "{slug}"': f'\nrepository = "{new.slug}"',
        rf'\nref = "{ref}"': f'\nref = "{new.ref}"',
    }
    changed = []
    for path in sorted(path for pattern in WRITTEN_IN for path in root.glob(pattern)):
        before = after = path.read_text(encoding="utf-8")
        for pattern, replacement in rules.items():
            after = re.sub(pattern, replacement, after)
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the addresses and say in how many files; return 1 when an argument is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.retarget", description=__doc__)
    parser.add_argument("slug", help="owner/name on GitHub")
    parser.add_argument("ref", help="tag, branch or commit")
    chosen = parser.parse_args(arguments)
    try:
        target = Target(chosen.slug, chosen.ref)
    except ValueError as error:
        print(f"{error}; as in: make retarget SLUG=owner/name REF=v0.2.0", file=sys.stderr)
        return 1
    changed = retarget(target)
    print(f"{len(changed)} files now name {chosen.slug} at {chosen.ref}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
