"""One module for each kind of weights file."""
