"""GA: the paper's Algorithm 1 on DEAP, the frame DEAP's toolbox and logbook, the operators compiled over the whole population.

An individual has one gene a model: 1 deploys it, 0 does not (Section III-E). The population is a bool array (P, I). `evolve` runs
the steps of the toolbox; `decide`, which needs no logbook, runs them on the same chances in one compiled loop, `best_met`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from deap import base, tools
from numba import njit

from ..costs import fitness
from ..errors import InputError
from ..listing import POLICY_TABLE
from .contract import Decision, chance


@dataclass(frozen=True)
class GA:
    """Algorithm 1: selection, crossover and mutation until the generation limit, or convergence.

    Infeasible individuals are repaired, not penalised: genes of models that are neither deployed nor requested become 0, the
    requested model's becomes 1, and while the server overflows a model drawn at random goes. So every individual is a decision
    that may be taken, the fitness (12) stays in the paper's terms with no penalty weight to tune, and the draw, blind to cost,
    leaves all optimising to selection. Returns the best individual ever met, the first of equals.

    `convergence` stops after that many generations without a better individual; 0 runs all generations. Raises InputError
    for settings out of range.
    """

    population: int = 50
    generations: int = 50
    tournament: int = 3
    crossover: float = 0.8  # probability that a pair crosses over, at two points
    mutation: float = 0.2  # probability that an individual mutates, each gene then with probability 1 / I
    convergence: int = 10
    name: str = "ga"
    label: str = POLICY_TABLE["ga"].label
    knows: ClassVar[str] = POLICY_TABLE["ga"].knows
    about: str = POLICY_TABLE["ga"].about

    def __post_init__(self):
        for name, least in (("population", 2), ("generations", 0), ("tournament", 1), ("convergence", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise InputError(f"{name} of the GA is {value!r}; it must be a whole number, at least {least}")
        for name in ("crossover", "mutation"):
            if not isinstance(getattr(self, name), float | int) or not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} of the GA is {getattr(self, name)!r}; it must be a probability between 0 and 1")

    def decide(self, decision: Decision) -> np.ndarray:
        """Bool (I,), the best deployment found: that of `evolve`, in a third of the time."""
        if type(self).toolbox is not GA.toolbox:  # a subclass with other steps
            return self.evolve(decision)[0]
        prices, settings = decision.prices, self.settings
        words = decision.rng.bit_generator.random_raw((self.generations + 1) * self.population).reshape(-1, self.population)
        costs = (decision.holding_cost, decision.leaving_cost)
        return best_met(decision.deployed, decision.requested, prices.needs, prices.capacities, *costs, words, *settings)

    @property
    def settings(self) -> tuple[int, float, float, int]:
        """What `best_met` asks for beside the decision; the shape of its words is generations + 1 by population."""
        return self.tournament, float(self.crossover), float(self.mutation), self.convergence

    def evolve(self, decision: Decision, record: bool = False) -> tuple[np.ndarray, tools.Logbook]:
        """The best deployment found, bool (I,), and DEAP's logbook.

        Where `record`, the logbook has a row a generation: lowest and mean cost in the population, lowest met so far, evaluations.
        """
        toolbox, log = self.toolbox(decision), tools.Logbook()
        vary, repair, evaluate = toolbox.vary, toolbox.repair, toolbox.evaluate
        best, highest, since, generation = None, -1.0, 0, 0
        words = toolbox.draw((self.generations + 1) * self.population).reshape(-1, self.population)
        population = toolbox.populate(words[0])
        with np.errstate(divide="ignore"):  # a decision that costs nothing has infinite fitness
            while True:
                repair(population, words[generation])
                cost = evaluate(population)
                fit = fitness(cost)
                leader = fit.argmax()
                if fit[leader] > highest:
                    best, highest, since = population[leader].copy(), fit[leader], 0
                else:
                    since += 1
                if record:
                    lowest, met, tried = cost[leader], 1 / highest, (generation + 1) * self.population
                    log.record(generation=generation, lowest=lowest, mean=cost.mean(), met=met, evaluations=tried)
                if generation == self.generations or (self.convergence and since >= self.convergence):
                    break
                generation += 1
                population = vary(population, fit, words[generation])
        return best, log

    def toolbox(self, decision: Decision) -> base.Toolbox:
        """Algorithm 1's steps for this decision, each compiled and for the whole population; `register` another to replace one.

        `draw` makes a random word an individual and generation, from which the other steps take all their chances.
        """
        size, prices = len(decision.deployed), decision.prices
        allowed = decision.deployed.copy()
        allowed[decision.requested] = True
        toolbox = base.Toolbox()
        toolbox.register("draw", decision.rng.bit_generator.random_raw)
        toolbox.register("populate", populate, size)
        toolbox.register("vary", vary, self.tournament, self.crossover, self.mutation)
        toolbox.register("repair", repair, allowed, decision.requested, prices.needs, prices.capacities)
        toolbox.register("evaluate", evaluate, prices.holding_cost, decision.leaving_cost)
        return toolbox


REPAIRS = 1 << 32  # the number of the first draw of `repair`, beyond those of `vary` and `populate`


@njit(cache=True)
def populate(size, words):
    """Individuals of fair random genes, one for each random word."""
    population = np.empty((words.size, size), dtype=np.bool_)
    for p in range(words.size):
        for i in range(size):
            population[p, i] = chance(words[p], i) < 0.5
    return population


@njit(cache=True)
def vary(tournament, crossover, mutation, parents, fit, words):
    """The next generation: tournament selection, two-point crossover of neighbours, bit-flip mutation."""
    count, size = parents.shape
    offspring = np.empty_like(parents)
    for p in range(count):
        winner = int(chance(words[p], 0) * count)
        for draw in range(1, tournament):
            rival = int(chance(words[p], draw) * count)
            if fit[rival] > fit[winner]:
                winner = rival
        for i in range(size):
            offspring[p, i] = parents[winner, i]
    for p in range(0, count - 1, 2):
        if size > 1 and chance(words[p], tournament) < crossover:
            # two distinct cuts among 1 .. size, as DEAP's cxTwoPoint draws them
            first = 1 + int(chance(words[p], tournament + 1) * size)
            last = 1 + int(chance(words[p], tournament + 2) * (size - 1))
            if last >= first:
                last += 1
            else:
                first, last = last, first
            for i in range(first, last):
                offspring[p, i], offspring[p + 1, i] = offspring[p + 1, i], offspring[p, i]
    for p in range(count):
        if chance(words[p], tournament + 3) < mutation:
            for i in range(size):
                if chance(words[p], tournament + 4 + i) < 1 / size:
                    offspring[p, i] = not offspring[p, i]
    return offspring


@njit(cache=True)
def repair(allowed, requested, needs, capacities, population, words):
    """Make every individual a decision that may be taken, in place: see GA."""
    count, size = population.shape
    for p in range(count):
        genes = population[p]
        storage, gpu_memory, power, kept = 0.0, 0.0, 0.0, 0
        for i in range(size):
            genes[i] = (genes[i] & allowed[i]) | (i == requested)
            deployed = 1 if genes[i] else 0  # arithmetic, for random genes are branches that no processor predicts
            storage += deployed * needs[0, i]
            gpu_memory += deployed * needs[1, i]
            power += deployed * needs[2, i]
            kept += deployed
        draw = REPAIRS
        while storage > capacities[0] or gpu_memory > capacities[1] or power > capacities[2]:
            unlucky = int(chance(words[p], draw) * (kept - 1))  # which of the kept, the requested one aside
            draw += 1
            for i in range(size):
                if genes[i] and i != requested:
                    if unlucky == 0:
                        genes[i] = False
                        storage -= needs[0, i]
                        gpu_memory -= needs[1, i]
                        power -= needs[2, i]
                        kept -= 1
                        break
                    unlucky -= 1


@njit(cache=True)
def evaluate(holding_cost, leaving_cost, population):
    """What each individual costs, as Decision.cost has it: holding the deployed models, leaving the others."""
    count, size = population.shape
    cost = np.zeros(count)
    for p in range(count):
        for i in range(size):
            cost[p] += holding_cost[i] if population[p, i] else leaving_cost[i]
    return cost


@njit(cache=True, error_model="numpy")  # a decision that costs nothing has infinite fitness
def best_met(
    deployed, requested, needs, capacities, holding_cost, leaving_cost, words, tournament, crossover, mutation, convergence
):
    """The best deployment that `GA.evolve` meets, bool (I,), from the random `words` (generations + 1, P)."""
    allowed = deployed.copy()
    allowed[requested] = True
    population = populate(deployed.size, words[0])
    best, highest, since = population[0].copy(), -1.0, 0
    for generation in range(words.shape[0]):
        repair(allowed, requested, needs, capacities, population, words[generation])
        fit = 1 / evaluate(holding_cost, leaving_cost, population)  # (12)
        leader = fit.argmax()
        since += 1
        if fit[leader] > highest:
            best[:], highest, since = population[leader], fit[leader], 0
        if generation + 1 == words.shape[0] or (convergence and since >= convergence):
            break
        population = vary(tournament, crossover, mutation, population, fit, words[generation + 1])
    return best
