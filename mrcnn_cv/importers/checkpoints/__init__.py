"""Files of weights become names and arrays, and nothing that they say is done."""
