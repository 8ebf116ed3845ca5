"""A student's predictions as a short code without personal data, for a class to collect. Used by
predictions.

A code is ``FM1-`` and base 32 of: for each answer two bytes of its question's name and its choice
or number, then two check bytes (CRC-16), so that one wrong or exchanged character is always
noticed.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Mapping

from fmcourse.quiz.questions import QUESTIONS

__all__ = ["decode", "encode"]

EDITION = "FM1-"


def encode(answers: Mapping[str, str | float]) -> str:
    """Return the code of some answers, numbers rounded to six digits or so."""
    content = b""
    for name, answer in answers.items():
        choices = QUESTIONS[name].choices
        kind, value = ("B", choices.index(answer)) if choices else ("f", answer)
        content += struct.pack(">H" + kind, _mark(name), value)
    content += _check(content)
    return EDITION + base64.b32encode(content).decode().rstrip("=")


def decode(code: str) -> dict[str, str | float]:
    """Return the answers of a code, upper or lower case.

    Raises:
        ValueError: a character is wrong or missing, or the code is of a different edition.
    """
    text = re.sub(r"[\s'\"]", "", code).upper()
    if not text.startswith(EDITION):
        raise ValueError(f"a code begins with {EDITION}, got {code!r}")
    body = text.removeprefix(EDITION)
    content = base64.b32decode(body + "=" * (-len(body) % 8), map01=b"L")
    content, check = content[:-2], content[-2:]
    if check != _check(content):
        raise ValueError(f"a character of the code {code!r} is wrong")
    names = {_mark(name): name for name in QUESTIONS}
    answers: dict[str, str | float] = {}
    while content:
        mark = int.from_bytes(content[:2])
        if mark not in names:
            raise ValueError(f"the code {code!r} is of a different edition of the course")
        choices = QUESTIONS[names[mark]].choices
        size = 3 if choices else 6
        (value,) = struct.unpack(">B" if choices else ">f", content[2:size])
        answers[names[mark]] = choices[value] if choices else value
        content = content[size:]
    return answers


def _mark(name: str) -> int:
    return zlib.crc32(name.encode()) & 0xFFFF


def _check(content: bytes) -> bytes:
    return binascii.crc_hqx(content, 0xFFFF).to_bytes(2)
