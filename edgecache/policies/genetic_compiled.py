"""Algorithm 1 compiled: the operators of `genetic_operators` over whole populations, with the same random numbers.

It makes the decisions of the default GA. The tests check it against DEAP's `eaSimple`, individual by individual. A population is
bool (P, n): its n columns are the `models` whose genes matter.
"""

import numpy as np
from numba import njit

from ..accounting import Charges
from .contract import Planner, uniform
from .planner_tables import GENETIC, PlannerTables, tables_of_estimates

WORDS = 60_000  # random words, and numbers of a table, at a time: few enough to stay in the processor's cache
REPAIRS = 1 << 32  # number of the first draw that repair takes from an individual's stream, beyond those of the other operators


@njit(cache=True)
def populate(models, words, population):
    """Fill the first generation with fair random genes, one individual per word."""
    for p in range(words.size):
        for c in range(models.size):
            population[p, c] = uniform(words[p], models[c]) < 0.5


@njit(cache=True)
def vary(models, size, tournament, crossover, mutation, parents, fit, words, offspring):
    """Fill the next generation: tournament selection, two-point crossover of neighbours, bit-flip mutation. `size` is I."""
    count, rate = words.size, 1 / size
    for p in range(count):
        winner = int(uniform(words[p], 0) * count)
        for draw in range(1, tournament):
            rival = int(uniform(words[p], draw) * count)
            winner = rival if fit[rival] > fit[winner] else winner
        for c in range(models.size):
            offspring[p, c] = parents[winner, c]
    for p in range(0, count - 1, 2):
        if size > 1 and uniform(words[p], tournament) < crossover:
            cut = 1 + int(uniform(words[p], tournament + 1) * size)
            other = 1 + int(uniform(words[p], tournament + 2) * (size - 1))
            other += other >= cut
            for c in range(models.size):  # without branches, for no processor predicts random genes
                between = (cut <= models[c]) ^ (other <= models[c])
                swap = between & (offspring[p, c] != offspring[p + 1, c])
                offspring[p, c] ^= swap
                offspring[p + 1, c] ^= swap
    for p in range(count):
        if uniform(words[p], tournament + 3) < mutation:
            for c in range(models.size):
                offspring[p, c] ^= uniform(words[p], tournament + 4 + models[c]) < rate


@njit(cache=True, error_model="numpy")  # a decision that costs nothing has infinite fitness
def evaluate(allowed, requested, may_bypass, needs, capacities, holding_cost, leaving_cost, population, words, fit):
    """Repair every individual in place, and fill `fit` with eq. 12. `requested` is a column of the population here."""
    stays = -1 if may_bypass else requested
    for p in range(words.size):
        genes = population[p]
        storage, gpu_memory, power, cost, kept = 0.0, 0.0, 0.0, 0.0, 0
        for c in range(genes.size):
            genes[c] = (genes[c] & allowed[c]) | (c == stays)
            held = 1 if genes[c] or c == requested else 0
            storage += held * needs[0, c]
            gpu_memory += held * needs[1, c]
            power += held * needs[2, c]
            kept += held
            cost += holding_cost[c] if genes[c] else leaving_cost[c]
        draw = REPAIRS
        while kept > 1 and (storage > capacities[0] or gpu_memory > capacities[1] or power > capacities[2]):
            before = int(uniform(words[p], draw) * (kept - 1))  # the kept models before the one to drop, the requested one aside
            c = -1
            while before >= 0:
                c += 1
                before -= genes[c] & (c != requested)
            genes[c] = False
            storage -= needs[0, c]
            gpu_memory -= needs[1, c]
            power -= needs[2, c]
            kept -= 1
            draw += 1
        if draw > REPAIRS:
            cost = 0.0
            for c in range(genes.size):
                cost += holding_cost[c] if genes[c] else leaving_cost[c]
        fit[p] = 1 / cost


@njit(cache=True)
def algorithm1(
    allowed,
    requested,
    may_bypass,
    needs,
    capacities,
    holding_cost,
    leaving_cost,
    words,
    tournament,
    crossover,
    mutation,
    convergence,
    best,
    met,
):
    """Run Algorithm 1 on the random `words` (generations + 1, P). Returns how many generations ran.

    `allowed`, bool (I,), are the models that may be deployed beside the requested one. `best`, bool (I,), is filled with the best
    deployment that it meets, the first among equals; `met`, bool (generations + 1, P, I) or without rows, with every individual.
    The population leaves out the genes that repair clears, unless the absence of their model costs something. It returns no array:
    from a cache Numba cannot box the arrays of what other compiled code calls too.
    """
    size, count = allowed.size, words.shape[1]
    allowed = allowed.copy()
    allowed[requested] = True
    models = np.flatnonzero(allowed | (leaving_cost != 0))
    own = (allowed[models], np.searchsorted(models, requested), may_bypass, needs[:, models], capacities)
    costs = (holding_cost[models], leaving_cost[models])
    population, offspring = np.empty((count, models.size), dtype=np.bool_), np.empty((count, models.size), dtype=np.bool_)
    populate(models, words[0], population)
    fit, highest, since, ran = np.empty(count), -1.0, 0, 0
    best[:] = False
    while ran < words.shape[0] and (not convergence or since < convergence):
        if ran > 0:
            vary(models, size, tournament, crossover, mutation, population, fit, words[ran], offspring)
            population, offspring = offspring, population
        evaluate(*own, *costs, population, words[ran], fit)
        leader, since = fit.argmax(), since + 1
        if fit[leader] > highest:
            best[models], highest, since = population[leader], fit[leader], 0
        if ran < met.shape[0]:
            met[ran][:, models] = population
        ran += 1
    return ran


@njit(cache=True)
def best_met(tables, estimate, words, deployed, requested, kept):
    """Fill `kept` (I,) with the best deployment that Algorithm 1 meets, for other compiled code."""
    t, leaving, allowed = tables, estimate, deployed
    if not t.charges_absence:
        leaving = np.where(deployed, estimate, 0.0)
        leaving[requested] = estimate[requested]
    if t.may_prefetch:
        allowed = np.empty_like(deployed)
        for i in range(deployed.size):
            allowed[i] = (t.needs[:, i] <= t.capacities).all()
    settings = (t.tournament, t.crossover, t.mutation, t.convergence)
    met = np.empty((0, 0, 0), dtype=np.bool_)
    algorithm1(allowed, requested, t.may_bypass, t.needs, t.capacities, t.holding, leaving, words, *settings, kept, met)


class GeneticTables:
    """The GA for one run: random words for the decisions to come, as many as fit in WORDS numbers, and what evictions cost."""

    def __init__(self, policy: Planner, shape: tuple[int, int], settings: tuple, charges: Charges, rng: np.random.Generator):
        self.name, self.decide, self.settings, self.charges, self.rng = policy.name, policy.decide, settings, charges, rng
        self.words, self.drawn = np.empty((0, *shape), dtype=np.uint64), 0  # shape: generations + 1, individuals

    def tables(self, clock: int, decisions: int) -> tuple[PlannerTables, int]:
        """The tables from request number `clock` and so many decisions on, and the request number until which they hold."""
        charges, shape, size = self.charges, self.words.shape[1:], len(self.charges.holding)
        at_a_time = max(min(WORDS // (shape[0] * shape[1]), WORDS // size), 1)
        last = min(len(charges.trace), clock + at_a_time)
        unused = self.words[len(self.words) - (self.drawn - decisions) :]
        more = max(last - clock - len(unused), 0)
        fresh = self.rng.bit_generator.random_raw(more * shape[0] * shape[1]).reshape(more, *shape)
        self.words, self.drawn = np.concatenate([unused, fresh]), self.drawn + more
        tournament, crossover, mutation, convergence = self.settings
        tables = tables_of_estimates(GENETIC, charges, clock, last)._replace(
            words=self.words, tournament=tournament, crossover=crossover, mutation=mutation, convergence=convergence
        )
        return tables, last
