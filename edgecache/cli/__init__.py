"""The command line: `edgecache` or `python -m edgecache`."""
