"""The command line: `tagal generate`, `evaluate`, `optimize`, `transfer`, `describe`, `preview`, `runs`, `study`."""

from tagal_dspy.cli.app import app, main

__all__ = ["app", "main"]
