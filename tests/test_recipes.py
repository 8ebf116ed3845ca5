"""Every recipe, in small: it runs, keeps what it made, and ships files that the course can read."""

from __future__ import annotations

import doctest
import functools
import importlib
import json
import multiprocessing
import re
import subprocess
import sys
import types
from pathlib import Path

import packages
import pytest
import torch
from doubles import forget_bundle
from test_manifest import problems
from transformers import EfficientNetModel

from fmcourse import bundle, clip, embeddings, homogenization, hub, results
from fmcourse.generation import frontier
from recipes import common, emoji_data, foundations, lite0, memorization, smoke_detector
from recipes.emoji_pairs import all_concepts, training_concepts

ROOT = Path(__file__).resolve().parent.parent
SHARED = {
    "augmentation bench common dual_encoder emoji_data emoji_pairs foundations lite0 sweeps"
    " text_tower"
}
TINY_STUDY = {"SECRETS": 2, "UNSEEN": 3, "PASSAGES": 30}
