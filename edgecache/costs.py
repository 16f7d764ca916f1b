"""The paper's equations, 1 to 12, one pure function each, and what the readings make of them.

Shapes: `deployed` and `evicted` are 0/1 or bool of shape (..., I), features are (I,), and sums over models drop the last axis.
Units are in the names: GB, kW, s, Gbit/s. The symbols of the equations are lost in the text that we have. docs/model.md says
what the paper states and what is our reading.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .scenario import Scenario

Numbers = Any  # one number, or an array that is computed element by element


# ---- Section III-B: the constraints


def storage_fits(deployed: NDArray, size_gb: NDArray, storage_gb: float) -> NDArray:
    """(1) Do the sizes s of the deployed models sum to at most the storage S? Bool (...)."""
    return np.dot(deployed, size_gb) <= storage_gb


def gpu_memory_fits(deployed: NDArray, model_gpu_memory_gb: NDArray, gpu_memory_gb: float) -> NDArray:
    """(2) Does the GPU memory g of the deployed models sum to at most the server's G? Bool (...)."""
    return np.dot(deployed, model_gpu_memory_gb) <= gpu_memory_gb


def energy_fits(deployed: NDArray, power_kw: NDArray, static_power_kw: float, energy_capacity_kw: float) -> NDArray:
    """(3) Do the static power E_0 and the power e of the deployed models sum to at most the energy capacity E? Bool (...)."""
    return static_power_kw + np.dot(deployed, power_kw) <= energy_capacity_kw


# ---- Section III-C1: the switching cost


def transmission_delay_s(evicted: Numbers, size_gb: Numbers, bandwidth_gbps: float) -> NDArray:
    """(4) Transmission of each evicted model from the cloud, when it is requested again: 8 s / B, in s, (..., I)."""
    return evicted * (8 * size_gb / bandwidth_gbps)


def preloading_delay_s(evicted: Numbers, io_delay_s: Numbers) -> NDArray:
    """(5) Loading of each evicted model into GPU memory: l, in s, (..., I)."""
    return evicted * io_delay_s


def inference_delay_s(evicted: Numbers, model_inference_delay_s: Numbers) -> NDArray:
    """(6) Inference of each evicted model: k, in s, (..., I)."""
    return evicted * model_inference_delay_s


def eviction_cost(delay_s: NDArray, active_cycle: NDArray) -> NDArray:
    """(7) One summand: the delays (4) + (5) + (6) of an evicted model over its active cycle a, (..., I).

    The sooner a model is requested again, the more its eviction costs.
    """
    return delay_s / active_cycle


def switching_cost(delay_s: NDArray, active_cycle: NDArray) -> NDArray:
    """(7) The sum of `eviction_cost` over the models, (...); models that stay have delay zero."""
    return eviction_cost(delay_s, active_cycle).sum(axis=-1)


# ---- Sections III-C2 and III-D: the resource cost and the objective


def storage_cost(deployed: NDArray, size_gb: NDArray) -> NDArray:
    """(8) Storage that the deployed models occupy, GB, (...)."""
    return np.dot(deployed, size_gb)


def gpu_memory_cost(deployed: NDArray, gpu_memory_gb: NDArray) -> NDArray:
    """(9) GPU memory that the deployed models occupy, GB, (...)."""
    return np.dot(deployed, gpu_memory_gb)


def resource_cost(storage: Numbers, gpu_memory: Numbers, beta: float) -> NDArray:
    """(10) Storage cost (8) plus beta times GPU memory cost (9)."""
    return np.add(storage, beta * gpu_memory)


def total_cost(switching: Numbers, resource: Numbers, w1: float, w2: float) -> NDArray:
    """(11) The objective: w1 times the switching cost (7) plus w2 times the resource cost (10)."""
    return np.add(w1 * switching, w2 * resource)


def fitness(cost: Numbers) -> Numbers:
    """(12) What the genetic algorithm maximises: 1 / cost."""
    return 1 / cost


# ---- What the equations make of a scenario


def fetch_delay_s(scenario: Scenario) -> NDArray:
    """Compute how much longer a miss of each model takes than a hit: (4) + (5), in s, (I,)."""
    c = scenario.catalogue
    every = np.ones(len(c))
    return transmission_delay_s(every, c.size_gb, scenario.bandwidth_gbps) + preloading_delay_s(every, c.io_delay_s)


def switching_delay_s(scenario: Scenario) -> NDArray:
    """Compute the delay of a miss of each model: d = (4) + (5) + (6), in s, (I,)."""
    c = scenario.catalogue
    return fetch_delay_s(scenario) + inference_delay_s(np.ones(len(c)), c.inference_delay_s)


def deployment_cost(scenario: Scenario, deployed: NDArray) -> NDArray:
    """Compute (8) to (10) of deployments (..., I): in GB, or under `resource_unit = capacity` in shares of S and G; (...)."""
    c = scenario.catalogue
    share = scenario.resource_unit == "capacity"
    storage = storage_cost(deployed, c.size_gb) / (scenario.storage_gb if share else 1)
    gpu_memory = gpu_memory_cost(deployed, c.gpu_memory_gb) / (scenario.gpu_memory_gb if share else 1)
    return resource_cost(storage, gpu_memory, scenario.beta)


def active_cycle(
    scenario: Scenario,
    requests: Numbers,
    clock: Numbers,
    slot: Numbers,
    popularity: Numbers,
    requests_per_slot: float | None = None,
) -> NDArray:
    """Estimate the active cycle a of eq. 7.

    Parameters
    ----------
    scenario
        Its readings `active_cycle` and `popularity` choose the estimate.
    requests
        n_i: requests for each model so far, the present one included. This and the next three broadcast together.
    clock
        n: requests for all models so far, the present one included.
    slot
        The present slot, from 0.
    popularity
        p_i: the true share of requests of each model.
    requests_per_slot
        The mean number of requests per slot; that of the scenario's demand if None.

    Returns
    -------
    NDArray
        In requests, or under `active_cycle = slots` in slots. The true one where `popularity = true`: 1 / p_i, infinite where
        nobody requests the model. Otherwise an estimate with the share (n_i + 1) / (n + I).

    Examples
    --------
    >>> active_cycle(Scenario(), np.array([1, 3]), 4, 0, np.array([0.5, 0.5])).tolist()
    [7.0, 3.5]

    Notes
    -----
    `active_cycle = actual` changes what is booked later, not this estimate: a decision cannot see the future.
    """
    slots = scenario.active_cycle == "slots"
    if scenario.popularity == "true":
        rate = scenario.requests_per_slot if requests_per_slot is None else requests_per_slot
        with np.errstate(divide="ignore"):
            return np.divide(1, rate * popularity if slots else popularity)
    return np.divide(slot + 1 if slots else clock + len(scenario.catalogue), requests + 1)
