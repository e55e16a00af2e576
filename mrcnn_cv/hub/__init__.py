"""Models by name: those of the zoo, pulled into a cache, those that the user registered, and the demo model."""

from mrcnn_cv.hub.registry import demo_model
from mrcnn_cv.hub.resolve import ResolvedModel, resolve_model

__all__ = ["ResolvedModel", "demo_model", "resolve_model"]
