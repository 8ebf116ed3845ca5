"""Prints the size of the code per folder, in tokens, and fails when it is above the limit.

    python -m tools.size

Comments, docstrings and line breaks do not count, so that dense code gains nothing.
"""

import sys
import tokenize
from pathlib import Path

from tools import ROOT

FOLDERS = ("fmcourse", "tests", "recipes", "tools", "benchmarks", "site")
# A ceiling that only falls.
MOST_TOKENS = 185_000
BREAKS = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
UNCOUNTED = BREAKS | {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}


def tokens(path: Path) -> int:
    """Return how many tokens a Python file has, without comments, docstrings and line breaks."""
    count = 0
    # A string that begins a statement is a docstring, or does nothing.
    begins = True
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            docstring = token.type == tokenize.STRING and begins
            count += token.type not in UNCOUNTED and not docstring
            if token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.ENCODING):
                begins = token.type in BREAKS
    return count


def main(root: Path = ROOT) -> int:
    """Print the sizes; return 1 when all together are above the limit."""
    total = 0
    for folder in FOLDERS:
        files = sorted((root / folder).rglob("*.py"))
        size = sum(map(tokens, files))
        total += size
        print(f"{folder:<11} {len(files):4} files {size:8,} tokens")
    print(f"{'all':<22} {total:8,} tokens, at most {MOST_TOKENS:,}")
    return 1 if total > MOST_TOKENS else 0


if __name__ == "__main__":
    sys.exit(main())
