"""Measurements of speed, size and devices, each run as ``python -m benchmarks.NAME``."""
