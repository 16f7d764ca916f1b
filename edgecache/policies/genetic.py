"""GA: the paper's Algorithm 1 on DEAP.

`GA.toolbox` makes the DEAP toolbox of one decision from `genetic_operators`, and stock `deap.algorithms.eaSimple` runs it. The
default GA decides by `genetic_compiled`, which does the same with the same random numbers: compiled, checked against DEAP. Where
a user changes the operators, DEAP itself decides.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from deap import algorithms, base, tools

from ..accounting import Charges
from ..errors import InputError, PolicyError, whole_number
from ..listing import POLICY_TABLE
from .contract import Decision
from .genetic_compiled import GeneticTables, algorithm1
from .genetic_operators import Operators


@dataclass(frozen=True)
class GA:
    """Decide by Algorithm 1: selection, crossover and mutation until the generation limit, or convergence.

    Parameters
    ----------
    population, generations
        Individuals per generation, and generations after the first.
    tournament
        Individuals drawn for each place in the next generation; the fittest of them takes it.
    crossover
        Probability that a pair of neighbours crosses over, at two points.
    mutation
        Probability that an individual mutates. Each of its I genes then flips with probability 1 / I.
    convergence
        Generations without a better individual after which the search stops; 0 never stops early.
    operators
        A function of a decision that returns a `deap.base.Toolbox`. DEAP then makes every decision with this toolbox.
    name, label, about
        How tables, figures and the command line name the policy.

    Raises
    ------
    InputError
        A setting is out of range.
    PolicyError
        `operators` returned no toolbox, or one that lacks what `eaSimple` calls.

    Examples
    --------
    Uniform crossover instead of the two points of the default:

    >>> from deap import tools
    >>> from edgecache import GA, Scenario, simulate
    >>> def uniform(decision):
    ...     toolbox = GA().toolbox(decision)
    ...     toolbox.register("mate", tools.cxUniform, indpb=0.5)
    ...     return toolbox
    >>> simulate(Scenario(slots=5), GA(population=10, operators=uniform, name="ga-uniform")).policy
    'ga-uniform'

    Notes
    -----
    Algorithm 1, Section III-E. An individual has one gene per model: 1 deploys it, 0 does not. The fitness is eq. 12.

    Evaluation repairs an infeasible individual in place. It clears the genes of models that the reading `scope` does not allow,
    sets the gene of the requested model where it must stay, and drops models at random until the rest fits beside the requested
    one. So any operators yield a feasible decision, and the fitness needs no penalty weight. Under the scopes `prefetch` and
    `free` every gene is free, as in Algorithm 1.

    The default `mate` and `mutate` draw their probability from the individual's own stream, so `eaSimple` calls them every time
    (cxpb = mutpb = 1), and its own draws decide nothing. To an operator that is registered without an argument `probability`,
    `eaSimple` applies `crossover` or `mutation`. It draws from Python's `random`, which is seeded from `decision.rng` meanwhile.
    """

    population: int = 50
    generations: int = 50
    tournament: int = 3
    crossover: float = 0.8
    mutation: float = 0.2
    convergence: int = 10
    name: str = "ga"
    label: str = POLICY_TABLE["ga"].label
    knows: ClassVar[str] = POLICY_TABLE["ga"].knows
    about: str = POLICY_TABLE["ga"].about
    operators: Callable[[Decision], base.Toolbox] | None = None

    def __post_init__(self):
        for name, least in (("population", 2), ("generations", 0), ("tournament", 1), ("convergence", 0)):
            whole_number(f"{name} of the GA", getattr(self, name), least)
        for name in ("crossover", "mutation"):
            if not isinstance(getattr(self, name), float | int) or not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} of the GA is {getattr(self, name)!r}; it must be a probability between 0 and 1")
        if self.operators is not None and not callable(self.operators):
            raise InputError(f"operators of the GA is {self.operators!r}; it must be a function of a decision, or None")

    @property
    def settings(self) -> tuple[int, float, float, int]:
        """The last four arguments of `genetic_compiled.best_met`."""
        return self.tournament, float(self.crossover), float(self.mutation), self.convergence

    def decide(self, decision: Decision) -> np.ndarray:
        """Return the best deployment that the search meets, bool (I,): that of `evolve`."""
        return self.evolve(decision)[0]

    def compiled(self, charges: Charges, rng: np.random.Generator) -> GeneticTables | None:
        """The planner of one run for the compiled loop; None where DEAP is to run operators of a user's own."""
        if self.operators is not None:
            return None
        return GeneticTables(self, (self.generations + 1, self.population), self.settings, charges, rng)

    def evolve(self, decision: Decision, record: bool = False) -> tuple[np.ndarray, tools.Logbook]:
        """Run Algorithm 1 on one decision.

        Parameters
        ----------
        decision
            The miss to decide. Its `rng` advances by (generations + 1) times population words.
        record
            Whether to fill the logbook.

        Returns
        -------
        best : ndarray
            The best deployment that the search meets, bool (I,).
        log : deap.tools.Logbook
            Where `record`, one row per generation: `lowest` and `mean` cost in the population, the lowest cost `met` so far, and
            the number of `evaluations` so far. Costs are those of eq. 11 for this decision.

        Examples
        --------
        >>> from edgecache import GA, Exact, Scenario, simulate
        >>> from edgecache.analysis.explanations import decision_at
        >>> decision = decision_at(simulate(Scenario(slots=5), "ga"), 1)
        >>> best, log = GA(generations=20, convergence=0).evolve(decision, record=True)
        >>> len(log), bool((best == Exact().decide(decision)).all())
        (21, True)
        """
        if self.operators is not None:
            best, met, evaluations = self._run_deap(decision, self.operators)
        else:
            d, limits = decision, (decision.scenario.may_bypass, decision.needs, decision.capacities)
            words, best = self._words(d), np.empty(len(d.deployed), dtype=bool)
            met = np.zeros((len(words) * record, self.population, len(best)), dtype=bool)
            costs, more = (d.holding_cost, d.leaving_cost), (*self.settings, best, met)
            ran = algorithm1(np.array(d.allowed), d.requested, *limits, *costs, words, *more)
            met, evaluations = met[:ran], self.population * np.arange(1, ran + 1)
        log = tools.Logbook()
        if record:
            cost = np.where(met, decision.holding_cost, decision.leaving_cost).cumsum(axis=-1)[..., -1]
            lowest, mean = cost.min(axis=1), cost.mean(axis=1)
            columns = (range(len(cost)), lowest, mean, np.minimum.accumulate(lowest), evaluations)
            for row in zip(*columns, strict=True):
                log.record(**dict(zip(("generation", "lowest", "mean", "met", "evaluations"), row, strict=True)))
        return best, log

    @final
    def toolbox(self, decision: Decision) -> base.Toolbox:
        """Make the DEAP toolbox of Algorithm 1 for one decision.

        Parameters
        ----------
        decision
            The miss to decide. The toolbox draws from a copy of its `rng`: the numbers that `decide` would draw next.

        Returns
        -------
        deap.base.Toolbox
            `individual`, `population`, `select`, `mate`, `mutate`, `evaluate` and its first half `repair`. An operator that
            replaces `evaluate` calls `toolbox.repair(individual)` first.

        Examples
        --------
        >>> from deap import algorithms, tools
        >>> from edgecache import GA, Scenario, simulate
        >>> from edgecache.analysis.explanations import decision_at
        >>> decision = decision_at(simulate(Scenario(slots=5), "ga"), 1)
        >>> toolbox, best = GA().toolbox(decision), tools.HallOfFame(1)
        >>> _ = algorithms.eaSimple(toolbox.population(n=50), toolbox, 1, 1, ngen=20, halloffame=best, verbose=False)
        >>> best[0] == GA(generations=20).decide(decision).tolist()
        True
        """
        operators, toolbox = Operators(decision, self.tournament), base.Toolbox()
        toolbox.register("individual", operators.individual)
        toolbox.register("population", tools.initRepeat, list, toolbox.individual, n=self.population)
        toolbox.register("select", operators.select)
        toolbox.register("mate", operators.mate, probability=self.crossover)
        toolbox.register("mutate", operators.mutate, probability=self.mutation)
        toolbox.register("repair", operators.repair)
        toolbox.register("evaluate", operators.evaluate)
        return toolbox

    def _words(self, decision: Decision) -> np.ndarray:
        """The random words of a decision, (generations + 1, P)."""
        return decision.rng.bit_generator.random_raw((self.generations + 1) * self.population).reshape(-1, self.population)

    def _run_deap(self, decision: Decision, operators: Callable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run eaSimple generation by generation: the best, and per generation the individuals (P, I) and the evaluations so far."""
        statistics, fame, rows, since = tools.Statistics(), tools.HallOfFame(1, np.array_equal), [], 0
        statistics.register("individuals", lambda individuals: np.array(individuals, dtype=bool))
        state = random.getstate()
        try:
            toolbox = _checked(operators(decision), self.name)
            random.seed(int(self._words(decision)[0, 0]))  # drawn after the toolbox has copied the state of `rng`
            cxpb, mutpb = _outside(toolbox.mate, self.crossover), _outside(toolbox.mutate, self.mutation)
            individuals = toolbox.population(n=self.population)
            for generation in range(self.generations + 1):
                highest = fame[0].fitness if fame else None
                ngen = min(generation, 1)  # the first call evaluates the first generation
                _, log = algorithms.eaSimple(individuals, toolbox, cxpb, mutpb, ngen, statistics, fame, verbose=False)
                rows.append(log[-1])
                since = 0 if highest is None or fame[0].fitness > highest else since + 1
                if self.convergence and since >= self.convergence:
                    break
        finally:
            random.setstate(state)
        met, evaluations = np.array([row["individuals"] for row in rows]), np.cumsum([row["nevals"] for row in rows])
        return np.array(fame[0], dtype=bool), met, evaluations


def _outside(operator: Callable, probability: float) -> float:
    """The probability with which eaSimple applies an operator: 1 where the operator draws it itself."""
    return 1.0 if "probability" in getattr(operator, "keywords", {}) else probability


def _checked(toolbox: base.Toolbox, policy: str) -> base.Toolbox:
    """The toolbox. Raises PolicyError where it lacks what eaSimple calls."""
    if not isinstance(toolbox, base.Toolbox):
        raise PolicyError(f"policy {policy!r}: operators(decision) returned {toolbox!r}; it must return a deap.base.Toolbox")
    for name in ("population", "evaluate", "select", "mate", "mutate"):
        if not callable(getattr(toolbox, name, None)):
            raise PolicyError(f"policy {policy!r}: its toolbox has no {name!r}; register one, for DEAP's eaSimple calls it")
    return toolbox
