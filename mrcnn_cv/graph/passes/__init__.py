"""Rewrites of a NetGraph that keep its numbers, one module each."""
