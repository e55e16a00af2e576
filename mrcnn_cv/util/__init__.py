"""Helpers that know nothing of models: files, locks, HTTP, threads."""
