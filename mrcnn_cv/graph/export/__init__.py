"""NetGraphs as messages of other formats."""
