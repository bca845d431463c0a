"""`python -m tagal_dspy.cli`, the same as `tagal`."""

from tagal_dspy.cli import main

main()
