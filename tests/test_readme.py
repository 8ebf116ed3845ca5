"""What the README says is so: its tree, links, commands, notebooks and evidence; and the texts keep the house rules."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tools.course import evidence_table
from tools.environments import RESULTS, compatibility_table
from tools.retarget import read_target
from tools.tables import with_table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SEED_LINKS = (
    "arxiv.org/abs/2108.07258",
    "github.com/stanford-crfm/transformers",
    "huggingface.co/EleutherAI/gpt-neo-1.3B",
    "cidrdb.org/cidr2022/papers/p51-orr.pdf",
    "colab.research.google.com/drive/1_houFU82nyHqcEyFb7zBAJ0eYt_isBB_",
    "youtu.be/Vsjw-oDTZf0",
)
CACHE = "CACHEDIR.TAG"  # what marks a folder as a tool's cache
UNLISTED = {".git", ".gitignore", ".gitattributes"}  # housekeeping that no newcomer needs to know


def tree(text: str) -> list[str]:
    """Return the paths of the captioned tree: the fenced block with a line that begins with ``fmcourse/``.

    One path a line, or several with commas, then two spaces or more, then the caption; the indentation, drawn or
    in spaces, says what lies where.
    """
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    block = next(
        (block for block in blocks if re.search(r"^[│├└─\s]*fmcourse/", block, re.MULTILINE)), ""
    )
    paths, folders = [], []
    for line in block.splitlines():
        indent, names, _ = re.fullmatch(r"([│├└─\s]*)(.*?)(\s{2,}.*)?", line).groups()
        folders = [(depth, folder) for depth, folder in folders if depth < len(indent)]
        above = folders[-1][1] if folders else ""
        listed = [above + name.strip() for name in names.split(",") if name.strip()]
        paths += listed
        if listed and listed[0].endswith("/"):
            folders.append((len(indent), listed[0]))
    return paths


def wrong_paths(text: str, root: Path) -> list[str]:
    """Return the paths of the tree that are not on disk."""
    return [
        path
        for path in tree(text)
        if not (root / path).exists() or path.endswith("/") != (root / path).is_dir()
    ]


def unlisted(text: str, root: Path) -> list[str]:
    """Return what lies in the root or is a module of the package, and is not in the tree."""
    ignored = (
        (root / ".gitignore").read_text(encoding="utf-8").split()
        if (root / ".gitignore").exists()
        else []
    )
    known = {path.rstrip("/") for path in tree(text)}
    top = {path.name for path in root.iterdir() if not (path / CACHE).exists()} - UNLISTED
    kept = {
        name
        for name in top
        if not any(fnmatch.fnmatch(name, pattern.strip("/")) for pattern in ignored)
    }
    inner = {
        path.relative_to(root)
        for path in (root / "fmcourse").glob("*")
        if path.suffix == ".py" or path.is_dir()
    }
    modules = {path.as_posix() for path in inner if not path.name.startswith("__")}
    present = {
        name
        for name in kept
        if name in known or not any(path.startswith(f"{name}/") for path in known)
    }
    return sorted((present | modules) - known)


def broken_links(text: str, root: Path) -> list[str]:
    """Return the relative links, of either form, that lead nowhere, in the page or on disk."""
    links = re.findall(r"\]\(\s*([^)\s]+)", text) + re.findall(r"\b(?:href|src)=\"([^\"]+)\"", text)
    relative = [link for link in links if not re.match(r"\w+:", link)]
    return [link for link in relative if not _leads(link, text, root)]


def _leads(link: str, text: str, root: Path) -> bool:
    path, _, anchor = link.partition("#")
    if path:
        return (root / path).exists()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return anchor in {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    }


def wrong_commands(text: str, root: Path) -> list[str]:
    """Return the commands of the README that name no target, module or script."""
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    return [*_wrong_targets(_code(text), targets), *_wrong_programs(_code(text), root)]


def _code(text: str) -> str:
    """Return the fenced blocks of a text and its code spans, each on a line of its own."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    return "\n".join([*blocks, *spans])


def _wrong_targets(code: str, targets: set[str]) -> Iterator[str]:
    for words in re.findall(r"(?:^\s*(?:\$ )?|[;&] *)make((?: +[^\s#&|;]+)+)", code, re.MULTILINE):
        yield from (
            f"make {word}" for word in words.split() if "=" not in word and word not in targets
        )


def _wrong_programs(code: str, root: Path) -> Iterator[str]:
    python = r"(?:^|[\s/\\])(?:python[\d.]*|py)(?:\.exe)?(?: -[\d.]+)?"
    for module in re.findall(rf"{python} -m ([\w.]+)", code, re.MULTILINE):
        if not (root / module.replace(".", "/")).with_suffix(".py").exists() and not _installed(
            module
        ):
            yield f"python -m {module}"
    for script in re.findall(rf"{python} ([\w./\\-]+\.py)", code, re.MULTILINE):
        if not (root / script.replace("\\", "/")).exists():
            yield f"python {script}"


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def wrong_rows(text: str, root: Path) -> list[str]:
    """Return the notebooks that do not have exactly one table row with a link and the right badge."""
    target = read_target(root)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    wrong = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        own = [row for row in rows if f"](notebooks/{path.name})" in row]
        if len(own) != 1 or f"]({target.badge(path.name)})" not in own[0]:
            wrong.append(path.name)
    named = re.findall(r"/notebooks/([\w.]+\.ipynb)", text)
    return wrong + sorted({name for name in named if not (root / "notebooks" / name).exists()})


@pytest.mark.parametrize("rule", [wrong_paths, unlisted, broken_links, wrong_commands, wrong_rows])
def test_the_readme_is_true(rule):
    assert rule(README, ROOT) == []


@pytest.mark.parametrize("rule", [broken_links, wrong_commands])
def test_the_guide_is_true(rule):
    assert rule((ROOT / "TEACHING.md").read_text(encoding="utf-8"), ROOT) == []


def test_the_readme_has_a_tree_and_both_commands():
    assert len(tree(README)) > 20
    assert {"make course", "make test"} <= {
        line.strip().removeprefix("$ ") for line in _code(README).splitlines()
    }


def test_no_figure_is_left_to_fill_in():
    assert re.findall(r"\b(?:TODO|TBD|FIXME|XXX|RUN\d\d|[A-Z]{4,}ROW)\b", README) == []


@pytest.mark.parametrize("link", SEED_LINKS)
def test_the_seed_is_linked(link):
    assert link in README


def test_the_evidence_table_is_that_of_the_stored_rows():
    stored = ROOT / "fmcourse" / "bundled" / "evidence.json"
    if not stored.exists():
        pytest.skip("no evidence is stored yet; `python -m tools.course --save` stores it")
    assert README == with_table(
        README, "evidence", evidence_table(json.loads(stored.read_text(encoding="utf-8")))
    )


def test_the_compatibility_table_is_that_of_the_stored_results():
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert README == with_table(README, "environments", compatibility_table(stored))
    assert stored and all(
        " simulated" in line for line in compatibility_table(stored).splitlines()[2:]
    )


@pytest.fixture
def house(tmp_path):
    """A small repository and a README that is true of it."""
    for folder in ("notebooks", "fmcourse/bundled", ".ci", "tools", "build"):
        (tmp_path / folder).mkdir(parents=True)
    for file in (
        "fmcourse/__init__.py",
        "fmcourse/hub.py",
        "notebooks/00_a.ipynb",
        ".ci/run",
        "tools/course.py",
        "LICENSE",
    ):
        (tmp_path / file).touch()
    (tmp_path / ".gitignore").write_text("build/\n*.egg-info/\n")
    (tmp_path / "Makefile").write_text("course: x\n\ttrue\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.fmcourse]\nrepository = "ada/course"\nref = "v1"\n'
    )
    return tmp_path


TRUE = """# A course

See [the tools](#the-tools) and [one](tools/course.py): `make course` or `.venv/bin/python -m tools.course`.

| [A](notebooks/00_a.ipynb) | [![Open](x.svg)](https://colab.research.google.com/github/ada/course/blob/v1/notebooks/00_a.ipynb) |

## The tools

```
LICENSE, Makefile   what you may do, and how
pyproject.toml      settings
notebooks/          all of them
fmcourse/           the package
├── bundled/        data
└── hub.py          the loaders
tools/              commands
.ci/run             continuous integration
```
""".replace("x.svg", "LICENSE")


def test_a_true_readme_passes(house):
    rules = (wrong_paths, unlisted, broken_links, wrong_commands, wrong_rows)
    assert [rule(TRUE, house) for rule in rules] == [[]] * 5


@pytest.mark.parametrize(
    "rule, old, new, found",
    [
        (wrong_paths, "└── hub.py", "└── hob.py", ["fmcourse/hob.py"]),
        (wrong_paths, "tools/      ", "tool/       ", ["tool/"]),
        (wrong_paths, "LICENSE, ", "LICENCE, ", ["LICENCE"]),
        (unlisted, "└── hub.py          the loaders\n", "", ["fmcourse/hub.py"]),
        (unlisted, "├── bundled/        data\n", "", ["fmcourse/bundled"]),
        (unlisted, "tools/              commands\n", "", ["tools"]),
        (unlisted, ".ci/run             continuous integration\n", "", [".ci"]),
        (broken_links, "(tools/course.py)", "(tools/curse.py)", ["tools/curse.py"]),
        (broken_links, "(#the-tools)", "(#tools)", ["#tools"]),
        (wrong_commands, "make course", "make curse", ["make curse"]),
        (wrong_commands, "-m tools.course", "-m tools.curse", ["python -m tools.curse"]),
        (wrong_commands, "-m tools.course", "tools/curse.py", ["python tools/curse.py"]),
        (wrong_rows, "blob/v1", "blob/main", ["00_a.ipynb"]),
        (wrong_rows, "[A](notebooks/00_a.ipynb)", "A", ["00_a.ipynb"]),
        (
            wrong_rows,
            "## The",
            "See https://github.com/ada/course/blob/v1/notebooks/01_b.ipynb\n\n## The",
            ["01_b.ipynb"],
        ),
    ],
)
def test_what_is_not_true_is_found(house, rule, old, new, found):
    assert old in TRUE
    assert rule(TRUE.replace(old, new), house) == found


# The house rules for texts. Each pattern is written so that it does not match itself.
MACHINE = re.compile(
    r"(?<![\w.:/~$+})-])/(?:home|root|tmp|work|Users)/\w|\b[A-Z]:\\{1,2}(?:Users|Windows|Program)"
)
REGISTRY = re.compile(
    r"\b(?:pypi\.or[g]|python[h]osted\.or[g]|npmjs\.(?:or[g]|co[m])|anaconda\.or[g])"
)
AMERICAN = {
    r"behaviors?|behavioral": "behaviour",
    r"colors?|colored|colorful|coloring": "colour",
    r"favor(?:s|ed|able|ite)?": "favour",
    r"gr[a]y(?:scale)?": "grey",
    r"neighbors?|neighboring|neighborhood": "neighbour",
    r"label(?:ed|ing)|(?-i:model)(?:ed|ing)|travel(?:ed|ing)|cancel(?:ed|ing)": "-lled, -lling",
    r"(?-i:license)s?": "licence",
    r"(?-i:center)s?|centered": "centre",
    r"analyz(?:e|es|ed|ing)": "analyse",
    r"skeptic(?:al|ism)?": "sceptic",
    r"(?:normal|optim|organ|recogn|general|summar|initial|real|token|emphas|memor|character|minim|maxim|homogen|visual|regular)"
    r"is(?:e|es|ed|ing|ation)": "-ize",
}
SPELLING = {
    re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE): british
    for pattern, british in AMERICAN.items()
}


def kept_files() -> list[Path]:
    """Return the text files of the repository, without what .gitignore leaves out."""
    ignored = [
        pattern.strip("/") for pattern in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    ] + [".git"]
    files = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [
            name for name in inner if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
        ]
        files += [Path(folder, name) for name in names if CACHE not in names]
    return sorted(path for path in files if path.suffix in TEXT or path.name in ("Makefile", "run"))


NO_PROSE = (
    r"^```.*?^```",
    "`[^`]*`",
    r"\]\([^)]*\)",
    "<[^>]*>",
    r"https?://\S+",
    r"\$[^$]*\$",
    r'"[^"\n]*"',
    r"\b\w+/[\w/.-]+",
)
TEXT = {".py", ".md", ".toml", ".txt", ".ipynb", ".cff", ".json", ".yml", ".svg"}


def prose(path: Path) -> str:
    """Return the prose of a markdown file or notebook: no code, addresses or markup."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n\n".join(
            cell.source
            for cell in nbformat.reads(text, as_version=4).cells
            if cell.cell_type == "markdown"
        )
    return re.sub("|".join(NO_PROSE), " ", text, flags=re.MULTILINE | re.DOTALL)


def misspelt(text: str) -> list[str]:
    return [
        f"{hit[0]} ({british})"
        for pattern, british in SPELLING.items()
        for hit in pattern.finditer(text)
    ]


@pytest.mark.parametrize("path", kept_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_text_names_one_machine_or_a_registry(path):
    text = path.read_text(encoding="utf-8")
    assert [hit[0] for pattern in (MACHINE, REGISTRY) for hit in pattern.finditer(text)] == []


@pytest.mark.parametrize(
    "path",
    [path for path in kept_files() if path.suffix in (".md", ".ipynb")],
    ids=lambda path: path.name,
)
def test_the_prose_is_british(path):
    assert misspelt(prose(path)) == []


def test_a_path_or_a_registry_is_found():
    for part in ("home/ada/x", "tmp/x", "Users/ada"):
        assert MACHINE.search(f"open('/{part}')")
    assert MACHINE.search("C:" + "\\Users")
    assert REGISTRY.search("https://pypi." + "org/simple") and REGISTRY.search(
        "registry.npm" + "js.org"
    )
    assert not MACHINE.search("https://example.org/home/x ../tmp/x $HOME/work/x ~/work/x")


@pytest.mark.parametrize(
    "text, found",
    [
        ("The color of behavior", ["behavior (behaviour)", "color (colour)"]),
        ("a license for modeling", ["modeling (-lled, -lling)", "license (licence)"]),
        ("we normalise and optimised", ["normalise (-ize)", "optimised (-ize)"]),
        (
            "Apache License 2.0, licensed; 4.1 Modelling; Center for Research; licence, colour-blind, exercise, promise",
            [],
        ),
    ],
)
def test_american_spelling_is_found(text, found):
    assert misspelt(text) == found


def test_code_and_names_are_no_prose(tmp_path):
    page = tmp_path / "x.md"
    code = '`color`, [x](color.md), "modeling", stanford/color\n\n```\ncenter\n```\n\n$center$ <p align="center">\n'
    page.write_text(code)
    assert misspelt(prose(page)) == []
