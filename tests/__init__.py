"""The tests, as a package: ciw, an oracle of theirs, installs one named `tests` too, and worker processes would import that."""
