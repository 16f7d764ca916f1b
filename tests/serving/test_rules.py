"""What each rule decides, by hand; and that the planners of the package decide what they decide in the paper's simulator."""

import numpy as np
import pytest

from edgecache import Catalogue, InputError, Scenario, Trace, sample_catalogue, simulate
from edgecache.results import MISS as PAPER_MISS
from edgecache.serving import (
    SERVER_RULES,
    Arrivals,
    PlannedServing,
    ServedModels,
    Server,
    SwapGroup,
    SwapGroups,
    SwapSets,
    serve,
    serve_parts,
    with_defaults,
)
from edgecache.serving.state import EVICT, EXPIRE, HOLD


def models(names="abcd", memory=4.0, load=2.0, **settings):
    count = len(names)
    columns = [np.broadcast_to(column, count) for column in (1.0, memory, 0.0, load, 1.0)]
    return ServedModels(Catalogue(tuple(names), *columns), **settings)


def arrivals(*requests):
    times, wanted = zip(*requests, strict=True)
    return Arrivals(list(times), list(wanted), [1.0] * len(times))


def evicted(run, what=EVICT):
    return [int(row["model"]) for row in run.events if row["what"] == what]


THREE_THEN_A_FOURTH = ((0, 0), (100, 1), (200, 2), (300, 0), (400, 3))


@pytest.mark.parametrize(
    ("rule", "settings", "victim"),
    [
        ("ollama", {"ttl_s": [900, 800, 700, 900]}, 2),  # the shortest keep-alive
        ("ollama", {"ttl_s": 900}, 0),  # of equal ones the first by name, although it was used last
        ("llama.cpp", {}, 1),  # the least recently used
        ("lemonade", {"load": [2.0, 50.0, 2.0, 2.0], "ttl_s": 900}, 2),  # b was idle longest, but takes long to load
        ("lemonade", {"load": [2.0, 50.0, 2.0, 2.0], "ttl_s": 900, "weight": [1, 0.001, 1, 1]}, 1),  # ... and counts little
        ("localai", {"ttl_s": 900}, 1),
        ("localai-largest", {"memory": [5.0, 3.0, 4.0, 4.0], "ttl_s": 900}, 0),
        ("modelmesh", {}, 1),
        ("ray-serve", {}, 1),
    ],
)
def test_who_leaves_first(rule, settings, victim):
    """Three models fit. a was requested first and last, then b, then c; d needs room."""
    assert evicted(serve(Server(gpu_memory_gb=12.5), models(**settings), arrivals(*THREE_THEN_A_FOURTH), rule)) == [victim]


def test_ollama_takes_names_alphabetically():
    run = serve(Server(gpu_memory_gb=12), models("dcba", ttl_s=900), arrivals(*THREE_THEN_A_FOURTH), "ollama")
    assert evicted(run) == [2]


@pytest.mark.parametrize(
    ("rule", "most", "ttl_s"),
    [
        ("ollama", 3, 300), ("llama.cpp", 4, np.inf), ("llama-swap", 1, np.inf), ("lm-studio", 1, 3600), ("lemonade", np.inf, 300),
        ("lemonade-lru", 1, np.inf), ("localai", np.inf, 900), ("modelmesh", np.inf, np.inf), ("ray-serve", 3, np.inf),
    ],
)  # fmt: skip
def test_limits_of_a_server_hold_where_nothing_else_is_said(rule, most, ttl_s):
    server, limited = with_defaults(SERVER_RULES[rule], Server(gpu_memory_gb=100), models())
    assert server.most_loaded == most and (limited.ttl_s == ttl_s).all() and server.gpu_memory_gb == 100
    requests = arrivals(*((1000.0 * k, k % 4) for k in range(9)))
    run = serve(server, limited, requests, rule)
    held = np.cumsum([1 if row["what"] == HOLD else -1 if row["what"] in (EVICT, EXPIRE) else 0 for row in run.events])
    assert held.max() == min(most, 4 if ttl_s >= 3600 else 1)
    server, limited = with_defaults(SERVER_RULES[rule], Server(most_loaded=2), models(ttl_s=7.0, base={"b": "a"}))
    assert server.most_loaded == 2 and (limited.ttl_s == 7).all() and limited.base.tolist() == [-1, 0, -1, -1]


def test_every_rule_names_its_source():
    assert all(len(rule.source) > 25 and rule.name == name for name, rule in SERVER_RULES.items())


# ---- llama-swap: the examples of its documentation


def chosen(rule, requested, loaded):
    services = rule.services
    kept = rule.choose(services.index(requested), np.isin(services, list(loaded)), np.zeros(len(services), int))
    return {service for service, stays in zip(services, kept, strict=True) if stays}


def documented():
    """The example's matrix: g, q, m language models, v speech, e reranker, sd images, L needs all; v costs 50 and L 30 to stop."""
    sets = [[x, "v"] for x in "gqm"] + [[x, "v", "e"] for x in "gq"] + [[x, "sd"] for x in "gq"] + [["L"]]
    return SwapSets(["g", "q", "m", "v", "e", "L", "sd", "lonely"], sets, {"v": 50, "L": 30})


def test_the_solver_stops_what_costs_least():
    rule = documented()
    assert chosen(rule, "q", {"g", "v"}) == {"q", "v"}  # switching between g, q and m does not stop v
    assert chosen(rule, "e", {"g", "v"}) == {"g", "v", "e"}  # both sets of e cost; that with g stops nothing
    assert chosen(rule, "sd", {"q", "v"}) == {"q", "sd"} and chosen(rule, "sd", {"m", "v"}) == {"sd"}
    assert chosen(rule, "L", {"g", "v"}) == {"L"} and chosen(rule, "lonely", {"g", "v"}) == {"lonely"}
    assert chosen(rule, "v", {"L"}) == {"v"}


def test_of_equal_sets_the_first_counts():
    rule = SwapSets(["a", "b", "c"], [["c", "a"], ["c", "b"]])
    assert chosen(rule, "c", {"a", "b"}) == {"c", "a"}
    assert chosen(SwapSets(["a", "b", "c"], [["c", "a"], ["c", "b"]], {"b": 2}), "c", {"a", "b"}) == {"c", "b"}


def test_groups_swap_and_exclude_one_another():
    services = ["a", "b", "c", "d", "e", "f"]
    rule = SwapGroups(
        services,
        [
            SwapGroup(["a", "b"], swap=True, exclusive=True),
            SwapGroup(["c", "d"], swap=False, exclusive=False),
            SwapGroup(["e"], persistent=True),
        ],
    )
    assert chosen(rule, "b", {"a", "c", "e"}) == {"b", "e"}  # its group swaps and excludes others, but not the persistent one
    assert chosen(rule, "d", {"b", "c", "e"}) == {"b", "d", "c", "e"}  # a group that is not exclusive stops nobody
    assert chosen(rule, "f", {"c", "d", "e"}) == {"f", "e"}


def test_the_solver_runs_a_server():
    """a and b run together, c alone: c waits until both have left, and drives both out though memory is free."""
    rule = SwapSets(list("abcd"), [["a", "b"], ["c"]])
    run = serve(Server(), models(), arrivals((0, 0), (0.5, 1), (4, 2), (20, 0)), rule)
    assert sorted(evicted(run)) == [0, 1, 2] and run.wait_s.tolist() == [2.0, 3.5, 3.0, 2.0]


def test_unknown_models_of_sets_are_refused():
    with pytest.raises(InputError, match="unknown model of a set 'z'"):
        SwapSets(list("ab"), [["z"]])
    with pytest.raises(InputError, match="the model 'a' is in two groups"):
        SwapGroups(list("ab"), [SwapGroup("a"), SwapGroup("ab")])


# ---- planners


@pytest.mark.parametrize("policy", ["exact", "optimal-online-delay"])
def test_planners_decide_as_in_the_papers_simulator(policy):
    """Sparse arrivals in one tier: the same misses, and as many evictions."""
    rng = np.random.default_rng(3)
    catalogue = sample_catalogue(8, rng)
    wanted = rng.choice(8, 200, p=rng.dirichlet(np.ones(8)))
    scenario = Scenario.named("delay", catalogue=catalogue, storage_gb=90, gpu_memory_gb=9, slots=200, slot_length_s=1e4)
    paper = simulate(scenario, policy, 0, trace=Trace(np.arange(200), wanted, 200, catalogue=catalogue, slot_length_s=1e4))
    server = Server(
        gpu_memory_gb=9, disk_gb=90, link_gbps=scenario.bandwidth_gbps, power_budget_kw=scenario.power_budget_kw, one_tier=True
    )
    served, requests = ServedModels(catalogue), Arrivals(1e4 * np.arange(200), wanted, np.zeros(200))
    run = serve(server, served, requests, PlannedServing(policy, server, served, requests, slot_length_s=1e4))
    assert ((run.wait_s > 0) == (paper.outcome == PAPER_MISS)).all()
    assert len(evicted(run)) == len(paper.evictions) > 20


def test_planners_know_no_pins():
    pinned, requests = models(pinned=[1, 0, 0, 0]), arrivals((0, 0))
    with pytest.raises(InputError, match="planners know neither pinned models"):
        PlannedServing("ga", Server(), pinned, requests)
    with pytest.raises(InputError, match="knows no priorities"):
        serve(Server(), models(priority=[0, 1, 0, 0]), requests, SwapSets(list("abcd"), [["a"]]))
    with pytest.raises(InputError, match="give it as PlannedServing"):
        list(serve_parts(Server(), models(), [requests], "ga"))


def test_a_planner_may_be_named_where_the_whole_trace_is_there():
    requests = arrivals((0, 0), (100, 1), (200, 0))
    assert serve(Server(gpu_memory_gb=4), models(), requests, "exact").wait_s.tolist() == [2.0, 2.0, 2.0]
