"""A lower bound on the cost of a trace, at any number of models."""

import numpy as np
from numba import njit

from ..accounting import Charges, RequestCharges
from ..demand import Trace
from ..errors import whole_number
from ..scenario import Scenario


def lower_bound(scenario: Scenario, trace: Trace, rounds: int = 300) -> float:
    """Bound the mean cost per slot of a trace from below, however many models there are.

    The bound holds for every policy that deploys within the reading `scope`, at whichever requests it decides. The requested model
    is deployed while it is served.

    Parameters
    ----------
    scenario
        The server and its readings.
    trace
        The requests.
    rounds
        Subgradient steps; more steps give a tighter bound.

    Returns
    -------
    float
        A cost per slot that no such policy can undercut on this trace.

    Raises
    ------
    InputError
        For a trace of another catalogue, or `rounds` that is no whole number of at least 1.

    Examples
    --------
    >>> import edgecache as ec
    >>> scenario = ec.Scenario(slots=30)
    >>> trace = ec.poisson_trace(scenario, 0)
    >>> lower_bound(scenario, trace) <= ec.simulate(scenario, "clairvoyant", trace=trace).means()["total_cost"]
    True

    Notes
    -----
    Lagrangian relaxation of the three capacities, with a price of each at every request. Then each model is on its own: it is held
    from one of its requests to the next, or until dropping it costs least. The prices take subgradient steps towards a level that
    adapts (Fisher, Management Science 1981); any prices give a valid bound. Models may leave at hits here, and where the scope
    allows it come at hits, so the optimum may lie well above the bound, most where resources weigh little. The bound is weakest
    under `resource_basis = decision`.
    """
    whole_number("rounds", rounds)
    charges, fits = Charges.of(scenario, trace), scenario.fits_empty_server
    costs = charges.by_request()
    models, first = np.unique(trace.model, return_index=True)
    first = first[fits[models]]
    holding = costs.holding
    if charges.decisions_only:
        # in these slots there is a decision for sure: at the first request for each model, but for models that may have been
        # prefetched; or at every request that the edge serves
        decided = np.sort(first)[:1] if scenario.may_prefetch else first
        decided = np.flatnonzero(fits[trace.model]) if charges.hits_decide else decided
        sure = np.isin(trace.slot, trace.slot[decided])
        holding = np.where(sure[:, None], costs.holding, costs.idle_holding)
    needs = np.ascontiguousarray((scenario.catalogue.needs / scenario.capacities[:, None]).T)
    certain = costs.certain + (0.0 if scenario.may_prefetch else costs.fetching[trace.model[first]].sum())
    held, left = np.ascontiguousarray(holding.T), np.ascontiguousarray(costs.evicting.T)
    until = np.minimum(trace.next_request - 1, len(trace))
    upper = costs.certain + _keeping_nothing(trace, fits, costs)
    price, best, margin, idle = np.zeros((len(trace), 3)), -np.inf, 0.5, 0
    for _ in range(rounds):
        if scenario.may_prefetch:
            cost, used = _relaxed_with_prefetching(trace.model, fits, needs, held, left, costs.fetching, price, scenario.may_bypass)
        else:
            cost, used = _relaxed(trace.model, until, fits, needs, held, left, costs.fetching, price, scenario.may_bypass)
        bound, over = certain + cost - price.sum(), used - 1
        idle = 0 if best == -np.inf or bound > best + 1e-2 * margin * (upper - best) else idle + 1
        best = max(best, bound)
        over[(price == 0) & (over < 0)] = 0
        size = (over**2).sum()
        if size == 0 or margin < 1e-6 or best >= upper:
            break
        if idle > 10:
            margin, idle = margin / 2, 0
        price = np.maximum(price + (best + margin * (upper - best) - bound) / size * over, 0)
    return float(best) / trace.slots


def _keeping_nothing(trace: Trace, fits: np.ndarray, costs: RequestCharges) -> float:
    """What it costs, beside what is certain, to evict everything at every miss: what the optimum does not exceed."""
    served = np.flatnonzero(fits[trace.model])
    if not len(served):
        return 0.0
    model = trace.model[served]
    missed = np.append(True, model[1:] != model[:-1])
    evicted = served[1:][missed[1:]], model[:-1][missed[1:]]
    every = np.arange(served[0], len(trace))
    holds = model[np.searchsorted(served, every, side="right") - 1]
    return float(costs.fetching[model[missed]].sum() + costs.evicting[evicted].sum() + costs.holding[every, holds].sum())


@njit(cache=True)
def _relaxed(requests, until, fits, needs, holding, leaving, fetching, price, may_bypass):
    """(What the models cost at least, each alone, beside what is certain, at prices (N, 3) of capacity; the shares used (N, 3))."""
    total, used = 0.0, np.zeros(price.shape)
    for k in range(requests.size):
        model = requests[k]
        if not fits[model]:
            continue
        need, held, left = needs[model], holding[model], leaving[model]
        again = fetching[model] if until[k] < requests.size else 0.0
        so_far, least, end = 0.0, np.inf, until[k]
        room = _price_of(price[k], need)
        for j in range(k, until[k]):
            gone = so_far + left[j] + again + (room if j == k else 0.0)  # it has its room while it is served
            if (j > k or may_bypass) and gone < least:
                least, end = gone, j
            so_far += held[j] + _price_of(price[j], need)
        if so_far <= least:
            least, end = so_far, until[k]
        total += least
        for j in range(k, max(end, k + 1)):
            for r in range(3):
                used[j, r] += need[r]
    return total, used


@njit(cache=True)
def _relaxed_with_prefetching(requests, fits, needs, holding, leaving, fetching, price, may_bypass):
    """What `_relaxed` returns where a model may come at any request: for each model the shortest path over held and not held."""
    count, total, used = requests.size, 0.0, np.zeros(price.shape)
    came = np.empty((count, 2), dtype=np.bool_)  # was the model held before each request, by whether it is held after it?
    for model in range(needs.shape[0]):
        if not fits[model]:
            continue
        need, out, inside = needs[model], 0.0, np.inf
        for j in range(count):
            room, held, left = _price_of(price[j], needs[model]), holding[model, j], leaving[model, j]
            fetched = out + fetching[model]
            if requests[j] == model:
                present, came[j, 1] = (fetched, False) if fetched < inside else (inside, True)
                came[j, 0] = came[j, 1]
                out, inside = (present + room + left if may_bypass else np.inf), present + room + held
            else:
                came[j, 0], came[j, 1] = inside + left < out, inside <= fetched
                out, inside = min(out, inside + left), min(inside, fetched) + room + held
        after = inside < out
        total += min(out, inside)
        for j in range(count - 1, -1, -1):
            if after or requests[j] == model:
                for r in range(3):
                    used[j, r] += need[r]
            after = came[j, int(after)]
    return total, used


@njit(cache=True, inline="always")
def _price_of(price, need):
    """The price of a model's needs at a request."""
    return price[0] * need[0] + price[1] * need[1] + price[2] * need[2]
