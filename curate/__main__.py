"""`python -m curate`."""

from curate.commands import main

main()
