"""Paint masks, boxes, names and trails onto images."""
