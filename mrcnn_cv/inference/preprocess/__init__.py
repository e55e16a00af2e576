"""Resize rules of the frameworks, and the pixels' preprocessing."""
