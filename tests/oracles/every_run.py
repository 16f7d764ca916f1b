"""Every sequence of decisions on a small trace, priced by the reference's books."""

import itertools

import numpy as np
from oracles.reference import _Run

from edgecache import Trace


def small_trace(rng, models, requests, slots):
    """Requests and slots at random, some of them empty; the popularity is another one, sometimes zero."""
    popularity = rng.dirichlet(np.ones(models)) * ((rng.random(models) < 0.9) | (models == 1))
    popularity = popularity if popularity.any() else np.ones(models)
    return Trace(np.sort(rng.integers(0, slots, requests)), rng.integers(0, models, requests), slots, popularity)


def subsets(models):
    return [set(kept) for n in range(len(models) + 1) for kept in itertools.combinations(sorted(models), n)]


class Scripted(_Run):
    """The reference's books, with its decisions taken by number from a script; where that ends, the first."""

    def __init__(self, scenario, trace, script):
        super().__init__(scenario, trace, "exact")
        self.script, self.options, self.waits = list(script), [], 0.0

    def choose(self, newcomer):
        feasible = self.choices(newcomer)
        number = len(self.options)
        if number == len(self.script):
            self.script.append(0)
        self.options.append(len(feasible))
        chosen = feasible[self.script[number]]
        self.waits += sum(self.transmission(i) + self.io[i] for i in (chosen | {newcomer}) - self.deployed)
        return chosen


def every_run(scenario, trace):
    """The mean cost of a slot and the mean delay that misses add to it, of every sequence of decisions."""
    script = []
    while script is not None:
        run = Scripted(scenario, trace, script)
        yield run.play()["means"]["total_cost"], run.waits / trace.slots
        script, options = run.script, run.options
        while script and script[-1] + 1 == options[len(script) - 1]:
            script.pop()
        script = [*script[:-1], script[-1] + 1] if script else None
