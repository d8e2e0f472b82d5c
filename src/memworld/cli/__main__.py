"""`python -m memworld.cli`."""

from memworld.cli import main

main()
