"""What runs in the environment of a matterport model. It needs nothing of mrcnn-cv and may be copied there.

A folder of its own: Python puts the folder of a script on its path, where a `config.py` must be the user's.
"""

from __future__ import annotations

from pathlib import Path

FREEZE_SCRIPT = Path(__file__).with_name("freeze_matterport.py")
"""Freezes weights (.h5) to a graph."""
