"""What is persisted of a run: manifest, journal, summary, locks."""
