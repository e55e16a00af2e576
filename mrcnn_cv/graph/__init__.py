"""NetGraph, the language between importers and engines, and what works on it."""
