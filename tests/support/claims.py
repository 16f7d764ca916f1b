"""A made-up world in which every simulated claim of the paper holds clearly."""

from edgecache.claims.statements import GRID

TRENDS = {
    "proposed": [20, 16, 12, 10, 10],
    "random": [35, 38, 40, 45, 50],
    "fifo": [30, 32, 34, 40, 44],
    "lru": [22, 25, 29, 33, 36],
    "lfu": [60, 52, 48, 45, 45],
}


def paper_cost(cell, points=GRID):
    """The cost of a cell in that world."""
    parameter, value, policy = cell
    if parameter in ("slots", "arrival_rate"):
        return 10.0 if policy == "proposed" else 30.0
    return float(TRENDS[policy][points[parameter].index(value)])
