"""The commands of this repository: run the course, check notebooks, change the address."""

from pathlib import Path

__all__ = ["ROOT"]

ROOT = Path(__file__).resolve().parent.parent
