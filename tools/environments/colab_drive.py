"""Stands in for Colab's own module of this name in the simulated Colab; nothing else imports it."""

import sys
from pathlib import Path


def mount(mountpoint, force_remount=False, timeout_ms=120000, readonly=False):
    """Make a folder of this environment that takes the place of Google Drive."""
    drive = Path(sys.prefix, *Path(mountpoint).parts[1:])
    (drive / "MyDrive").mkdir(parents=True, exist_ok=True)
    # Nothing outside the environment may be written, so the caller's DRIVE is set to this folder.
    sys._getframe(1).f_globals["DRIVE"] = drive
    print(f"Mounted at {mountpoint}")
