"""`python -m edgecache`."""

from .cli.main import main

main()
