"""A student's predictions as a short code without personal data, for a class to collect. Used by
predictions.

A code is ``FM2-`` and, in base 32, the answers as compressed JSON. The compressor knows the names
of the questions and their choices beforehand, so that codes are short and those of a course with
other questions are refused; its checksum notices a wrong or exchanged character.
"""

import base64
import json
import re
import zlib
from collections.abc import Mapping

from fmcourse.quiz.questions import QUESTIONS

EDITION = "FM2-"
KNOWN = json.dumps({name: question.choices for name, question in QUESTIONS.items()}).encode()


def encode(answers: Mapping[str, str | float]) -> str:
    """Return the code of some answers."""
    packer = zlib.compressobj(zdict=KNOWN)
    content = packer.compress(json.dumps(answers).encode()) + packer.flush()
    return EDITION + base64.b32encode(content).decode().rstrip("=")


def decode(code: str) -> dict[str, str | float]:
    """Return the answers of a code, upper or lower case.

    Raises:
        ValueError: a character is wrong or missing, or the code is of a different edition.
    """
    body = re.sub(r"[\s'\"]", "", code).upper().removeprefix(EDITION)
    reader = zlib.decompressobj(zdict=KNOWN)
    try:
        content = base64.b32decode(body + "=" * (-len(body) % 8), map01=b"L")
        answers = json.loads(reader.decompress(content))
    except (ValueError, zlib.error) as error:
        raise ValueError(f"{code!r} has a wrong character or a different edition") from error
    # The checksum stands at the end.
    if not reader.eof:
        raise ValueError(f"the code {code!r} is not whole")
    return answers
