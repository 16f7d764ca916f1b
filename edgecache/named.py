"""The named readings: what each changes of the defaults, in switches and in the numbers that the paper leaves open."""

NAMED = {
    "literal": {},  # the default: the simplest reading of every word, not the one that flatters
    "delay": {"charge": "miss", "w2": 0.0},  # what users wait for: 8 s / B + l at every miss, and nothing else
}
