"""Frames: video files, cameras, streams."""
