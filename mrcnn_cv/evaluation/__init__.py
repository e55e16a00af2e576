"""How good a model is on a data set in COCO's format, and whether two models or two backends agree."""
