"""ModelDefinition, its validation, and label maps."""
