"""The command line: `tagal generate`, `tagal evaluate`, `tagal describe`, `tagal preview`."""

from tagal_dspy.cli.app import app, main

__all__ = ["app", "main"]
