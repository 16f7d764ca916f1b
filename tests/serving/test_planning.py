"""Plans: the least that meets a target, told from what is one step smaller; targets, halves and cards."""

import numpy as np
import pandas as pd
import pytest

from edgecache import Catalogue, InputError
from edgecache.serving import Arrivals, Card, ServedModels, Server, Target, halves, plan_server, read_cards, serve
from edgecache.serving.cards import EXAMPLE
from edgecache.serving.planning import grids_of
from edgecache.serving.targets import Trial


def log(days=8, rate_s=300.0, seed=0, models=4, service=5.0):
    rng = np.random.default_rng(seed)
    count = int(days * 86400 / rate_s)
    return Arrivals(np.sort(rng.uniform(0, days * 86400, count)), rng.integers(0, models, count), np.full(count, service))


def served(memory=(2.0, 3.0, 4.0, 5.0), load=20.0, size=1.0):
    count = len(memory)
    return ServedModels(
        Catalogue(tuple("abcdefgh"[:count]), [size] * count, list(memory), [0.1] * count, [load] * count, [5] * count)
    )


@pytest.mark.parametrize(
    ("text", "share", "limit_s"),
    [("p95=10s", 0.95, 10), ("P50=300ms", 0.5, 0.3), ("p99.9=2min", 0.999, 120), (" p90=1.5h", 0.9, 5400)],
)
def test_targets_are_spelt(text, share, limit_s):
    target = Target.spelt(text)
    assert (target.share, target.limit_s) == (pytest.approx(share), pytest.approx(limit_s))


@pytest.mark.parametrize("text", ["p95", "95=10s", "p95=10", "p95=-1s", "p95=ten s", ""])
def test_other_targets_are_refused(text):
    with pytest.raises(InputError, match="it must be like p95=10s"):
        Target.spelt(text)


def test_impossible_targets_are_refused():
    with pytest.raises(InputError, match="the share of a target is"):
        Target.spelt("p100=10s")
    with pytest.raises(InputError, match="the limit of a target is"):
        Target.spelt("p95=0s")
    with pytest.raises(InputError, match="unknown measure 'waits'"):
        Target.spelt("p95=1s", "waits")


def test_halves_are_halves_of_the_time():
    first, second = halves(Arrivals([0, 1, 2, 10], [0] * 4, [1] * 4))
    assert first.time_s.tolist() == [0, 1, 2] and second.time_s.tolist() == [10]
    with pytest.raises(InputError, match="2 requests over no time"):
        halves(Arrivals([5, 5], [0, 0], [1, 1]))


def test_the_plan_meets_the_target_and_one_step_less_does_not():
    target, models, arrivals = Target.spelt("p80=10s"), served(), log()
    plan = plan_server(target, models, arrivals, Server(disk_gb_per_s=10))
    assert plan.halves["met"].all() and (plan.halves["share_at_least"] >= 0.8).all()
    assert (plan.halves["share_at_least"] <= plan.halves["share_within"]).all()
    grid = grids_of(models, Server())["gpu_memory_gb"]
    less = grid[grid.index(plan.needs["gpu_memory_gb"]) - 1]
    part = halves(arrivals)
    smaller = Server(gpu_memory_gb=less, link_gbps=100)
    assert not all(target.met(Trial.of(target, smaller, models.vary(parallel=16), half, "lru").waits) for half in part)
    run = serve(plan.server, plan.models, part[1])
    assert plan.halves["mean_s"][1] == pytest.approx(run.wait_s.mean())
    assert plan.halves["share_within"][1] == pytest.approx((run.wait_s <= 10).mean())


def test_a_crowded_model_needs_places_and_not_memory():
    """One model that is asked for every 10 s and runs 25 s: three places at least, whatever the memory."""
    arrivals = Arrivals(10.0 * np.arange(8000), np.zeros(8000, int), np.full(8000, 25.0))
    plan = plan_server(Target.spelt("p95=10s"), served([4.0]), arrivals)
    assert plan.needs["parallel"] == 4 and plan.needs["gpu_memory_gb"] == 4


def test_a_slow_link_is_found_out():
    """The disk holds one of two models of 10 GB: every second request fetches, in 10 s at least over 8 Gbit/s."""
    arrivals = Arrivals(100.0 * np.arange(4000), np.arange(4000) % 2, np.ones(4000))
    plan = plan_server(Target.spelt("p95=11s"), served([4.0, 4.0], load=0.0, size=10.0), arrivals, Server(disk_gb=10, link_gbps=25))
    assert plan.needs["link_gbps"] == 10.0 and plan.needs["disk_gb"] == 10


@pytest.mark.parametrize(
    ("limit", "target", "models", "arrivals", "server"),
    [
        ("load", "p95=10s", served(), log(), Server(gpu_memory_gb=5)),
        ("service", "p95=3s", served(), log(), Server()),
        ("queue", "p95=10s", served([4.0]), Arrivals(np.arange(20_000.0), np.zeros(20_000, int), np.full(20_000, 40.0)), Server()),
        ("fetch", "p95=20s", served(load=0.0), log(), Server(disk_gb=1, link_gbps=0.1)),
    ],
)  # fmt: skip
def test_a_target_that_nothing_meets_is_named_with_what_limits_it(limit, target, models, arrivals, server):
    measure = "delay" if limit == "service" else "wait"
    plan = plan_server(Target.spelt(target, measure), models, arrivals, server)
    assert plan.limit == limit and not plan.needs and not plan.halves["met"].all()


def test_prices_are_paired_differences_per_unit():
    target, models, arrivals = Target.spelt("p50=10s"), served((2.0, 3.0, 4.0, 5.0, 5.0)), log(models=5)
    plan = plan_server(target, models, arrivals)
    row = plan.prices.set_index("resource").loc["gpu_memory_gb"]
    half = halves(arrivals)[1]
    now, then = (
        serve(Server(**{name: plan.needs[name] for name in ("disk_gb", "link_gbps")}, gpu_memory_gb=memory), plan.models, half)
        for memory in (row["have"], row["next"])
    )
    change = (then.wait_s.mean() - now.wait_s.mean()) / (row["next"] - row["have"])
    assert row["mean_s_per_unit"] == pytest.approx(change) and row["low"] <= change <= row["high"]


def test_the_cheapest_card_that_meets_the_target_is_taken():
    cards = [Card("large", 16, 900, 300), Card("small", 6, 300, 100), Card("dear", 16, 2000, 200), Card("bargain", 14, 250, 400)]
    plan = plan_server(Target.spelt("p80=10s"), served(), log(), cards=cards)
    assert plan.card.card == "bargain" and plan.cards["card"].tolist() == ["bargain", "small", "large", "dear"]
    met = plan.cards.set_index("card")["met"]
    assert met["bargain"] and met["large"] and not met["small"]
    busy_h = plan.cards["busy_kwh"] / plan.cards["watts"] * 1000
    assert busy_h.tolist() == pytest.approx([busy_h[0]] * 4, rel=0.01)


def test_the_example_of_cards_names_its_sources():
    cards = read_cards(EXAMPLE)
    assert len(cards) >= 5 and all(len(card.source) > 20 for card in cards)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("card,memory_gb,price\na,8,1\n", "the column 'watts' is missing"),
        ("card,memory_gb,price,watts\n", "there is no card"),
        ("card,memory_gb,price,watts\na,8,x,100\n", r"row 1 \(a\): price is 'x'; it must be a number above 0"),
        ("card,memory_gb,price,watts\na,0,1,100\n", r"row 1 \(a\): memory_gb is '0'"),
        ("card,memory_mb,price,watts\na,8,1,1\n", "unknown column 'memory_mb'; memory_gb is in GB"),
    ],
)
def test_wrong_cards_are_refused(tmp_path, text, message):
    file = tmp_path / "cards.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_cards(file)
    with pytest.raises(InputError, match="cannot read the cards"):
        read_cards(tmp_path / "none.csv")


def test_what_holds_on_the_first_half_alone_is_raised():
    """The second half asks for all models at random, the first for one only: the plan must hold on both."""
    quiet, busy = log(4, models=1), log(4, seed=2)
    arrivals = Arrivals(
        np.r_[quiet.time_s, busy.time_s + 4 * 86400], np.r_[quiet.model, busy.model], np.r_[quiet.service_s, busy.service_s]
    )
    plan = plan_server(Target.spelt("p80=10s"), served(), arrivals)
    assert plan.halves["met"].all() and plan.needs["gpu_memory_gb"] > 5
    assert isinstance(plan.prices, pd.DataFrame)
