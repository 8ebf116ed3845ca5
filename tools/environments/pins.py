"""Takes the versions of Colab's list from the list that Colab publishes.

    python -m tools.environments.pins pip-freeze.txt

Packages and comments of colab.txt stay; one that Colab no longer has loses its version.
"""

import re
import sys
from pathlib import Path

from packaging.utils import canonicalize_name

from tools.environments import LISTS

# `torch @ https://.../torch-2.11.0%2Bcu128-cp313...whl` has its version in the file's name.
FROM_FILE = re.compile(r"([\w.-]+) @ .*/[\w.]+-(\d+(?:\.\d+)*)")


def renewed(ours: str, published: str) -> str:
    """Return our list of pins with the versions of a published ``pip freeze``.

    >>> renewed("torch==2.0\\n", "NumPy==2.1.3\\ntorch @ x/torch-2.11.0%2Bcu128.whl\\n")
    'torch==2.11.0\\n'
    """
    versions = {}
    for line in published.splitlines():
        name, _, version = line.partition("==")
        from_file = FROM_FILE.match(line)
        if from_file:
            name, version = from_file.groups()
        versions[canonicalize_name(name)] = version.partition("+")[0]
    lines = []
    for line in ours.splitlines():
        name, pinned, _ = line.partition("==")
        if pinned:
            version = versions.get(canonicalize_name(name), "")
            line = f"{name}=={version}".removesuffix("==")
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    list_of_colab = LISTS / "colab.txt"
    published = Path(sys.argv[1]).read_text(encoding="utf-8")
    ours = list_of_colab.read_text(encoding="utf-8")
    list_of_colab.write_text(renewed(ours, published), encoding="utf-8")
