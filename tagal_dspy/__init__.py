"""Synthetic tabular data from LLMs, as optimisable DSPy programs."""
