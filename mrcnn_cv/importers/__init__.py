"""Files become ModelDefinitions, one folder per family."""
