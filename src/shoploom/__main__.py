"""``python -m shoploom`` is the command ``shoploom``."""

from shoploom.cli import main

main()
