"""Weights by name and the numbers of a config become a ModelDefinition: the nets are built, layer by layer."""
