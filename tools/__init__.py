"""The commands of this repository: run the course, check notebooks, change the address."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
