"""What is persisted of a run, by which it is resumed."""
