"""Write annotated videos."""
