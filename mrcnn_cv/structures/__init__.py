"""Instances, frames, masks and polygons."""
