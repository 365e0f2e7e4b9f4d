"""`python -m sankofa`: the `sankofa` command."""

from sankofa.commands import main

main()
