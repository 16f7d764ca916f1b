"""The operators of Algorithm 1 for DEAP, one individual at a time; `genetic_compiled` does the same for whole populations."""

from collections.abc import Iterable
from copy import deepcopy

import numpy as np
from deap import base

from ..costs import fitness
from .contract import Decision, uniform
from .genetic_compiled import REPAIRS


class Fitness(base.Fitness):
    """(12), to be maximised."""

    weights = (1.0,)


class Individual(list):
    """One gene per model, 1 or 0. Its random numbers come from the stream that its word names: `contract.uniform`."""

    def __init__(self, genes: Iterable, word: np.uint64 | None):
        super().__init__(genes)
        self.word, self.fitness = word, Fitness()

    def __deepcopy__(self, memo: dict) -> "Individual":
        """Copy the genes at once: gene by gene, copies take most of eaSimple's time."""
        copy = Individual(self, None)
        vars(copy).update(deepcopy(vars(self), memo))
        return copy


class Operators:
    """Algorithm 1 for one decision, one individual at a time.

    An individual gets a word when it is drawn or selected, and loses it when it is evaluated. Where a user's selection gives
    none, the first operator that needs one draws it.
    """

    def __init__(self, decision: Decision, tournament: int):
        self.decision, self.tournament, self.allowed = decision, tournament, decision.allowed
        self.cost = list(zip(decision.leaving_cost.tolist(), decision.holding_cost.tolist(), strict=True))
        self.draw = deepcopy(decision.rng).bit_generator.random_raw

    def uniform(self, individual: Individual, number: int) -> float:
        """Draw number `number` of the individual's stream, uniform in [0, 1)."""
        if getattr(individual, "word", None) is None:
            individual.word = np.uint64(self.draw())
        return uniform(individual.word, number)

    def individual(self) -> Individual:
        """Fair random genes."""
        word = np.uint64(self.draw())
        return Individual((int(uniform(word, i) < 0.5) for i in range(len(self.cost))), word)

    def select(self, individuals: list, k: int) -> list:
        """Tournaments: the fittest of a few that are drawn with replacement; a copy of it with a word of its own."""
        chosen = []
        for word in self.draw(k):
            drawn = [individuals[int(uniform(word, number) * len(individuals))] for number in range(self.tournament)]
            chosen.append(deepcopy(max(drawn, key=lambda individual: individual.fitness)))  # the first among equals
            chosen[-1].word = word
        return chosen

    def mate(self, first: Individual, second: Individual, probability: float) -> tuple:
        """Two-point crossover: exchange the genes between two distinct cuts among 1 .. I, drawn as DEAP's cxTwoPoint draws them."""
        size, t = len(first), self.tournament
        if size > 1 and self.uniform(first, t) < probability:
            cut, other = 1 + int(self.uniform(first, t + 1) * size), 1 + int(self.uniform(first, t + 2) * (size - 1))
            begin, end = sorted((cut, other + (other >= cut)))
            first[begin:end], second[begin:end] = second[begin:end], first[begin:end]
        return first, second

    def mutate(self, individual: Individual, probability: float) -> tuple:
        """Bit-flip mutation: each gene with probability 1 / I."""
        size, t = len(individual), self.tournament
        if self.uniform(individual, t + 3) < probability:
            for i in range(size):
                if self.uniform(individual, t + 4 + i) < 1 / size:
                    individual[i] = 1 - individual[i]
        return (individual,)

    def repair(self, individual: Individual) -> None:
        """Make the individual feasible, in place, the requested model beside it; a feasible one stays as it is."""
        d, number = self.decision, REPAIRS
        for i, gene in enumerate(individual):
            if i == d.requested:
                individual[i] = int(gene or not d.scenario.may_bypass)
            else:
                individual[i] = int(bool(gene and self.allowed[i]))
        kept, used = [i for i, gene in enumerate(individual) if gene and i != d.requested], np.zeros(3)
        for i in sorted([*kept, d.requested]):  # one by one, as the compiled repair adds them up
            used += d.needs[:, i]
        while kept and (used > d.capacities).any():
            dropped = kept.pop(int(self.uniform(individual, number) * len(kept)))
            individual[dropped] = 0
            used -= d.needs[:, dropped]
            number += 1

    def evaluate(self, individual: Individual) -> tuple[float]:
        """(12) of the repaired individual."""
        self.repair(individual)
        individual.word, cost = None, 0.0
        for gene, (leaving, holding) in zip(individual, self.cost, strict=True):
            cost += holding if gene else leaving
        return (fitness(cost) if cost else np.inf,)
