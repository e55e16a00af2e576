"""Output directories, ownership of what is in them, records, locks."""
