"""One module per format of --save."""
