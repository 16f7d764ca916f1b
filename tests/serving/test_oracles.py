"""The event simulation against queueing theory, against the queueing library ciw, and against the simulator of the paper."""

import ciw
import numpy as np
import pytest

from edgecache import Catalogue, Scenario, Trace, sample_catalogue, simulate
from edgecache.demand import random_stream
from edgecache.policies.ranks import EVICTION_POLICIES
from edgecache.results import CLOUD as PAPER_CLOUD
from edgecache.results import HIT as PAPER_HIT
from edgecache.results import MISS as PAPER_MISS
from edgecache.serving.arrivals import Arrivals, drawn_service_times
from edgecache.serving.models import ServedModels, Server
from edgecache.serving.simulation import serve
from edgecache.serving.state import CLOUD, EVICT, HIT, MISS

REQUESTS, WARM_UP = 200_000, 5_000


def mean_wait(rate, distribution, places, seed):
    """Mean wait of a pinned model and its standard error, from means over blocks."""
    rng = np.random.default_rng(seed)
    one = ServedModels(Catalogue(("chat",), [1], [1], [0], [0], [1]), parallel=places, pinned=1)
    times = np.cumsum(rng.exponential(1 / rate, REQUESTS))
    services = drawn_service_times(np.ones(REQUESTS), distribution, rng)
    waits = serve(Server(), one, Arrivals(times, np.zeros(REQUESTS, int), services)).wait_s[WARM_UP:]
    blocks = waits[: len(waits) // 50 * 50].reshape(50, -1).mean(axis=1)
    return blocks.mean(), blocks.std(ddof=1) / np.sqrt(50)


def erlang_c(load, places):
    """Probability of waiting in M/M/c."""
    terms = load ** np.arange(places) / np.cumprod(np.r_[1, np.arange(1, places)])
    last = load**places / np.prod(np.arange(1.0, places + 1)) / (1 - load / places)
    return last / (terms.sum() + last)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_one_place_is_an_mm1_queue(rho):
    mean, error = mean_wait(rho, "exponential", 1, 1)
    assert mean == pytest.approx(rho / (1 - rho), abs=4 * error)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_fixed_service_times_halve_the_wait_md1(rho):
    mean, error = mean_wait(rho, "fixed", 1, 2)
    assert mean == pytest.approx(rho / (1 - rho) / 2, abs=4 * error)


@pytest.mark.parametrize(("load", "places"), [(1.5, 2), (3.5, 5)])
def test_several_places_are_an_mmc_queue(load, places):
    mean, error = mean_wait(load, "exponential", places, 3)
    assert mean == pytest.approx(erlang_c(load, places) / (places - load), abs=4 * error)


# ---- ciw: every request asks for a model of its own, so that a class of models is a class of customers


class Listed(ciw.dists.Distribution):
    """Times that are given, one per customer in the order in which they are drawn."""

    def __init__(self, times):
        self.times = iter([*times, float("inf")])

    def sample(self, t=None, ind=None):
        return next(self.times)


def two_classes(seed, count=150):
    """Arrivals of two classes with the times that each takes on the link, at the loader and in service."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, count)
    times = np.cumsum(rng.exponential(4.0, count))
    link, load, service = np.array([1.0, 2.5])[classes], np.array([3.0, 1.0])[classes], rng.exponential(5.0, count)
    return times, classes, link, load, service


def ciw_delays(times, classes, stages, servers, priorities):
    """How long each customer is in a line of nodes of `servers`, from ciw; `stages` are the times at each node."""
    names = ("A", "B")
    inter = {name: np.diff(np.r_[0.0, times[classes == k]]) for k, name in enumerate(names)}

    class Carried(ciw.dists.Distribution):
        """The time at a node of the customer that is there: its number within its class names it."""

        def __init__(self, node):
            self.node = node

        def sample(self, t=None, ind=None):
            return stages[self.node][number_of(ind)]

    def number_of(individual):
        key = individual.customer_class if isinstance(individual.customer_class, str) else names[individual.customer_class]
        mine = np.flatnonzero(classes == names.index(key))
        return mine[np.argmin(abs(times[mine] - arrived(individual)))]

    def arrived(individual):
        records = individual.data_records
        return records[0].arrival_date if records else individual.arrival_date

    nodes = len(stages)
    route = [[1.0 if column == row + 1 else 0.0 for column in range(nodes)] for row in range(nodes)]
    network = ciw.create_network(
        arrival_distributions={name: [Listed(inter[name]), *[None] * (nodes - 1)] for name in names},
        service_distributions={name: [Carried(node) for node in range(nodes)] for name in names},
        number_of_servers=servers,
        routing=dict.fromkeys(names, route),
        priority_classes=dict(zip(names, priorities, strict=True)),
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(times), method="Finish")
    ends = np.full(len(times), np.nan)
    for record in simulation.get_all_records():
        if record.node == nodes:
            key = names.index(record.customer_class)
            mine = np.flatnonzero(classes == key)
            journey = min(r.arrival_date for r in simulation.get_all_records() if r.id_number == record.id_number)
            ends[mine[np.argmin(abs(times[mine] - journey))]] = record.exit_date
    return ends - times


@pytest.mark.parametrize("priorities", [(0, 0), (1, 0)])
@pytest.mark.parametrize("slots", [1, 2])
def test_link_loader_and_service_are_a_network_of_queues(priorities, slots):
    """The link and the loader serve two classes, with and without priority; a model of its own serves each request at once."""
    times, classes, link, load, service = two_classes(5)
    count = len(times)
    catalogue = Catalogue(tuple(f"m{i}" for i in range(count)), link, np.zeros(count), np.zeros(count), load, np.ones(count))
    models = ServedModels(catalogue, priority=np.array(priorities)[classes])
    # a shared channel is not a queue of servers: with two slots only the loader, whose work is not shared, has two
    server = Server(link_gbps=8, fetches_at_once=1, loads_at_once=slots)
    run = serve(server, models, Arrivals(times, np.arange(count), service))
    expected = ciw_delays(times, classes, [link, load, service], [1, slots, float("inf")], priorities)
    np.testing.assert_allclose(run.delay_s, expected, rtol=1e-9)
    assert run.requests["queue_s"].max() > 1


def test_memory_for_two_models_is_a_queue_of_two_servers():
    """Each model loads and runs in one of two places of memory: ciw's node of two servers, whose time is load and service."""
    times, classes, _, load, service = two_classes(6)
    count = len(times)
    catalogue = Catalogue(
        tuple(f"m{i}" for i in range(count)), np.ones(count), np.ones(count), np.zeros(count), load, np.ones(count)
    )
    run = serve(Server(gpu_memory_gb=2, loads_at_once=2), ServedModels(catalogue), Arrivals(times, np.arange(count), service))
    np.testing.assert_allclose(run.delay_s, ciw_delays(times, classes, [load + service], [2], (0, 0)), rtol=1e-9)


# ---- the bridge to the simulator of the paper


@pytest.mark.parametrize("policy", EVICTION_POLICIES, ids=lambda policy: policy.name)
def test_sparse_arrivals_in_one_tier_are_the_papers_simulation(policy):
    """Request by request the same hits, misses and delays, and the same evictions."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scenario = Scenario(catalogue=sample_catalogue(12, rng), storage_gb=100, gpu_memory_gb=10, energy_capacity_kw=0.8)
        wanted = rng.choice(12, 400, p=rng.dirichlet(np.ones(12)))
        paper = simulate(scenario, policy, seed, trace=Trace(np.arange(400), wanted, 400, np.ones(12) / 12))
        server = Server(
            gpu_memory_gb=10,
            disk_gb=100,
            power_budget_kw=scenario.power_budget_kw,
            link_gbps=scenario.bandwidth_gbps,
            one_tier=True,
        )
        models = ServedModels(scenario.catalogue, parallel=1000)
        services = scenario.catalogue.inference_delay_s[wanted]
        run = serve(server, models, Arrivals(1e4 * np.arange(400), wanted, services), policy, random_stream(seed, 0, 1))
        same = {HIT: PAPER_HIT, MISS: PAPER_MISS, CLOUD: PAPER_CLOUD}
        assert [same[outcome] for outcome in run.requests["outcome"]] == paper.outcome.tolist()
        missed = paper.outcome == PAPER_MISS
        fetch = 8 * scenario.catalogue.size_gb / scenario.bandwidth_gbps + scenario.catalogue.io_delay_s
        np.testing.assert_allclose(run.delay_s, services + missed * fetch[wanted], atol=1e-6)
        evicted = [row["model"] for row in run.events if row["what"] == EVICT]
        assert evicted == paper.evictions[:, 1].tolist() and missed.sum() > 50
