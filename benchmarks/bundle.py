"""How much ships with the course: bundled files by kind, and their sum of at most 60 MB.

python benchmarks/bundle.py
"""

from __future__ import annotations

from collections import Counter

from fmcourse import data

LIMIT = 60_000_000  # bytes


def main() -> None:
    kinds = Counter()
    for file, entry in data.manifest().items():
        kinds[file.split("/")[0].split("-")[0].split(".")[0]] += entry["bytes"]
    for kind, size in kinds.most_common():
        print(f"{kind:<12} {size / 1e6:6.2f} MB")
    print(f"{'in all':<12} {sum(kinds.values()) / 1e6:6.2f} MB of at most {LIMIT / 1e6:.0f}")


if __name__ == "__main__":
    main()
