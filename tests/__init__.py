"""The tests, a package of their own: ciw, an oracle of theirs, installs a package `tests` too, and worker processes would import that."""
