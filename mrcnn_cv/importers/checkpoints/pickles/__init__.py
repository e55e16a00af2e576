"""An interpreter of pickles that imports nothing and calls nothing."""
