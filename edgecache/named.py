"""The named readings: what each changes of the defaults, in switches and in the numbers that the paper leaves open."""

NAMED = {
    "literal": {},  # the default: the simplest reading of every word, not the one that flatters
    # reading 2535 of the 20,000 of `make readings`: of those with the shipped catalogue the one of most claims, by search.closest;
    # data/results/readings.parquet has it, and a test holds the two together
    "closest": {
        "charge": "absence",
        "active_cycle": "slots",
        "popularity": "true",
        "w2": 0.2515,
        "beta": 0.8582,
        "arrival_rate": 3.329,
        "zipf": 1.514,
    },
    "delay": {"charge": "miss", "w2": 0.0},  # what users wait for: 8 s / B + l at every miss, and nothing else
}
