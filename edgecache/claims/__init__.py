"""Claims: the paper's checkable statements, the verdicts on them, and the search over readings of its lost symbols."""
