"""Where images come from: every source is an iterable of Frame, or FrameError for an image that failed."""
