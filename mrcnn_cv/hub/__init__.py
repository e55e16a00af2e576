"""Models by name: those of the TensorFlow zoo, pulled into a cache, those that the user registered, and the demo model.

registry     what models/zoo.toml says
cache        where things lie on this machine, locks, atomic installation
connection   how we talk to a server
download     one file over HTTP, resumed and retried
listener     who is told what a pull does
archive      the three files that we want out of a .tar.gz that nobody vouches for
pull         from a registry entry to a folder in the cache
user_models  the user's own names
manage       registering and removing models
resolve      from the text of --model to a path
"""

from __future__ import annotations

from mrcnn_cv.hub.registry import demo_model
from mrcnn_cv.hub.resolve import ResolvedModel, resolve_model

__all__ = ["ResolvedModel", "demo_model", "resolve_model"]
