"""The genetic algorithm as DEAP's own tutorial writes it: the reference that edgecache's GA is compared with.

Stock `algorithms.eaSimple` on list individuals with DEAP's own operators and a fitness in plain Python: sums over lists, local
variables, no NumPy inside the loop. Only the repair is not DEAP's. It draws from the global `random`, as DEAP does, and leaves
its state as it was.
"""

import random

import numpy as np
from deap import algorithms, base, creator, tools

POPULATION, GENERATIONS, TOURNAMENT, CROSSOVER, MUTATION = 50, 50, 3, 0.8, 0.2

creator.create("StockFitness", base.Fitness, weights=(1.0,))
creator.create("StockIndividual", list, fitness=creator.StockFitness)


def repair_and_evaluate(decision):
    """The fitness of an individual, 1 / cost, once it is repaired in place; the decision's numbers are bound as plain lists."""
    requested, scope = decision.requested, decision.scenario.scope
    may_stay = decision.deployed if scope in ("evict", "bypass") else (decision.capacities >= decision.needs.T).all(axis=1)
    forbidden = [i for i, allowed in enumerate(may_stay) if not allowed and i != requested]
    stays = scope in ("evict", "prefetch")
    holding, leaving = decision.holding_cost.tolist(), decision.leaving_cost.tolist()
    (size, memory, power), (storage, gpu_memory, watts) = decision.needs.tolist(), decision.capacities.tolist()

    def evaluate(individual, choice=random.choice):
        for i in forbidden:
            individual[i] = 0
        if stays:
            individual[requested] = 1
        cost = s = g = e = 0.0
        for i, gene in enumerate(individual):
            if gene:
                cost += holding[i]
            else:
                cost += leaving[i]
            if gene or i == requested:  # it has its room while it is served
                s += size[i]
                g += memory[i]
                e += power[i]
        while s > storage or g > gpu_memory or e > watts:
            i = choice([i for i, gene in enumerate(individual) if gene and i != requested])
            individual[i] = 0
            cost += leaving[i] - holding[i]
            s -= size[i]
            g -= memory[i]
            e -= power[i]
        return (1 / cost,)

    return evaluate


def stock_toolbox(decision):
    """The toolbox of the tutorial; `clone` is its default, a deep copy."""
    size = len(decision.deployed)
    toolbox = base.Toolbox()
    toolbox.register("gene", random.randint, 0, 1)
    toolbox.register("individual", tools.initRepeat, creator.StockIndividual, toolbox.gene, size)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", repair_and_evaluate(decision))
    toolbox.register("select", tools.selTournament, tournsize=TOURNAMENT)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=1 / size)
    return toolbox


def quick_clone(individual):
    """A copy of an individual whose genes are integers, in a tenth of the time of a deep copy."""
    copy = creator.StockIndividual(individual)
    copy.fitness.wvalues = individual.fitness.wvalues
    return copy


def stock_decide(decision, seed, clone=None):
    """The best deployment that stock DEAP finds, bool (I,), and its cost."""
    toolbox, best = stock_toolbox(decision), tools.HallOfFame(1)
    if clone:
        toolbox.register("clone", clone)
    state = random.getstate()
    random.seed(seed)
    try:
        individuals = toolbox.population(n=POPULATION)
        algorithms.eaSimple(individuals, toolbox, CROSSOVER, MUTATION, GENERATIONS, halloffame=best, verbose=False)
    finally:
        random.setstate(state)
    chosen = np.array(best[0], dtype=bool)
    return chosen, float(decision.cost(chosen))
