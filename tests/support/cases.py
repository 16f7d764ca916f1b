"""Small made-up servers, decisions and traces that several test modules share."""

import numpy as np

from edgecache import READINGS, Catalogue, Decision, Scenario, Trace, sample_catalogue
from edgecache.accounting import Charges

FEATURES = ("size_gb", "gpu_memory_gb", "power_kw", "io_delay_s", "inference_delay_s")


def make_catalogue(**rows):
    """A catalogue from one row a model: name=(s GB, g GB, e kW, l s, k s)."""
    return Catalogue(tuple(rows), **dict(zip(FEATURES, zip(*rows.values(), strict=True), strict=True)))


def equal_catalogue(models, size_gb=1.0):
    """Models that differ in name only."""
    return make_catalogue(**{f"m{i}": (size_gb, 1.0, 0.0, 1.0, 1.0) for i in range(models)})


def make_trace(models, *slots):
    """A trace of the given model indices, one sequence a slot, with equal popularity."""
    slot = np.repeat(np.arange(len(slots)), [len(requests) for requests in slots])
    return Trace(slot, [model for requests in slots for model in requests], len(slots), np.full(models, 1 / models))


def one_each(models, requests):
    """A trace with one request a slot."""
    return make_trace(models, *[[model] for model in requests])


def make_decision(scenario, requested, deployed, requests, *, slot=0, seed=0, popularity=None):
    """The decision at a miss after `requests` (n_i, the present one included), with the models `deployed`."""
    size = len(scenario.catalogue)
    popularity = np.full(size, 1 / size) if popularity is None else np.asarray(popularity)
    held = np.zeros(size, dtype=bool)
    held[list(deployed)] = True
    requests = np.asarray(requests)
    trace = Trace([], [], 1, popularity, requests_per_slot=scenario.requests_per_slot)
    return Decision(Charges.of(scenario, trace), requested, held, requests, int(requests.sum()), slot, np.random.default_rng(seed))


def hard_decision(rng, models, candidates, *, seed=0, **readings):
    """A decision in which most deployed models are worth keeping, but not all fit, and each of the three capacities may bind."""
    c = sample_catalogue(models, rng)
    chosen = rng.permutation(models)[: candidates + 1]
    requested, deployed = int(chosen[0]), chosen[1:]
    needs = np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw])
    room = needs[:, requested] + rng.uniform(0.35, 0.65, 3) * needs[:, deployed].sum(axis=1)
    scenario = Scenario(
        c,
        storage_gb=room[0],
        gpu_memory_gb=room[1],
        static_power_kw=0.3,
        energy_capacity_kw=0.3 + room[2],
        **{"resource_unit": "capacity", "w1": 5.0, **readings},
    )
    requests = rng.integers(1, 30, models)
    return make_decision(scenario, requested, deployed, requests, slot=int(requests.sum()), seed=seed)


def random_readings(rng):
    """A word for every reading, and weights that are sometimes zero."""
    words = {name: str(rng.choice(words)) for name, words in READINGS.items() if name != "decides"}  # see test_scopes.py
    weights = {
        name: float(rng.choice([0.0, 0.5, 1.0, rng.uniform(0.1, 9)], p=[0.1, 0.2, 0.3, 0.4])) for name in ("w1", "w2", "beta")
    }
    return words | weights


def random_scenario(rng, models, **changes):
    """A server too small for its random catalogue, so that policies must evict and the cloud must sometimes serve."""
    c = sample_catalogue(models, rng)
    smallest = int(np.argmin(c.size_gb / 50 + c.gpu_memory_gb / 6 + c.power_kw / 0.5))  # fits every server below
    needs = np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw])
    share = rng.uniform(0.15, 0.8, 3) if rng.random() < 0.8 else np.full(3, 1.1)
    room = np.maximum(needs[:, smallest], share * needs.sum(axis=1))
    fixed = {
        "storage_gb": room[0],
        "gpu_memory_gb": room[1],
        "energy_capacity_kw": 0.3 + room[2] * 1.001,
        "bandwidth_gbps": rng.uniform(1, 20),
        "cloud_delay_s": rng.uniform(0, 9),
        "slots": int(rng.integers(1, 15)),
        "slot_length_s": rng.uniform(1, 100),
        "arrival_rate": rng.uniform(0.2, 3),
        "zipf": rng.uniform(0, 2),
    }
    return Scenario(c, **(fixed | changes))


def roomy_scenario(rng, models, **changes):
    """A server with room for several of its models, seldom for all; now and then one of them must be served by the cloud."""
    rows = rng.uniform((1, 0.5, 0.02, 0, 0), (6, 3, 0.2, 30, 10), (models, 5))
    room = np.maximum(rng.uniform(0.6, 1.05, 3) * rows[:, :3].sum(axis=0), rows[0, :3])
    if rng.random() < 0.3 and models > 1:
        rows[rng.integers(1, models), rng.integers(3)] = 50
    server = {"storage_gb": room[0], "gpu_memory_gb": room[1], "static_power_kw": 0.2, "energy_capacity_kw": 0.2 + room[2]}
    rates = {"bandwidth_gbps": rng.uniform(1, 20), "arrival_rate": rng.uniform(0.2, 3)}
    return Scenario(make_catalogue(**{f"m{i}": tuple(row) for i, row in enumerate(rows)}), **server | rates | changes)


class KeepWhatFits:
    """A planner in plain Python: the requested model, then the deployed ones from the smallest on while they fit."""

    name = "keep-what-fits"

    def __init__(self):
        self.decisions = []

    def decide(self, decision):
        self.decisions.append(decision)
        chosen = np.zeros(len(decision.deployed), dtype=bool)
        chosen[decision.requested] = True
        for model in sorted(decision.candidates, key=lambda i: decision.scenario.catalogue.size_gb[i]):
            chosen[model] = True
            if not decision.fits(chosen):
                chosen[model] = False
        return chosen
