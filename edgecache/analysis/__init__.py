"""Analysis: why a decision was taken, how far a method is from the best possible, policies side by side."""
