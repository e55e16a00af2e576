"""Windows and the page of --serve."""
