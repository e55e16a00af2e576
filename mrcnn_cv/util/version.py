"""The version of mrcnn-cv."""

__version__ = "0.1.0"
