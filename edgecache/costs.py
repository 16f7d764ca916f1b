"""The paper's equations, 1 to 12, one pure function each, and what the readings make of them.

Shapes: a deployment x is 0/1 or bool of shape (..., I); features are (I,); results drop the last axis. Units: GB, kW, s, Gbit/s.
The equations' symbols are lost in the text we have; README.md says what the paper states and what is our reading.
"""

import numpy as np

from .scenario import Scenario


def storage_fits(deployed, size_gb, storage_gb):
    """(1) The deployed models' sizes sum to at most the storage S."""
    return np.dot(deployed, size_gb) <= storage_gb


def gpu_memory_fits(deployed, model_gpu_memory_gb, gpu_memory_gb):
    """(2) The deployed models' GPU memory sums to at most the server's, G."""
    return np.dot(deployed, model_gpu_memory_gb) <= gpu_memory_gb


def energy_fits(deployed, power_kw, static_power_kw, energy_capacity_kw):
    """(3) Static power E_0 and the deployed models' power sum to at most the energy capacity E."""
    return static_power_kw + np.dot(deployed, power_kw) <= energy_capacity_kw


def transmission_delay_s(evicted, size_gb, bandwidth_gbps):
    """(4) An evicted model must come from the cloud again: 8 s / B, per model (..., I)."""
    return evicted * (8 * size_gb / bandwidth_gbps)


def preloading_delay_s(evicted, io_delay_s):
    """(5) An evicted model must be loaded into GPU memory again: l, per model (..., I)."""
    return evicted * io_delay_s


def inference_delay_s(evicted, model_inference_delay_s):
    """(6) An evicted model's next request also waits for its inference: k, per model (..., I)."""
    return evicted * model_inference_delay_s


def eviction_cost(delay_s, active_cycle):
    """(7), one summand: the delays (4) + (5) + (6) of an evicted model over its active cycle a, per model (..., I).

    The sooner a model is asked for again, the more its eviction costs.
    """
    return delay_s / active_cycle


def switching_cost(delay_s, active_cycle):
    """(7) The sum of `eviction_cost` over the models; the delays of those that were not evicted are zero."""
    return eviction_cost(delay_s, active_cycle).sum(axis=-1)


def storage_cost(deployed, size_gb):
    """(8) Storage that the deployed models occupy, GB."""
    return np.dot(deployed, size_gb)


def gpu_memory_cost(deployed, gpu_memory_gb):
    """(9) GPU memory that the deployed models occupy, GB."""
    return np.dot(deployed, gpu_memory_gb)


def resource_cost(storage, gpu_memory, beta):
    """(10) Storage cost (8) plus beta times GPU memory cost (9)."""
    return storage + beta * gpu_memory


def total_cost(switching, resource, w1, w2):
    """(11) The objective: w1 times the switching cost (7) plus w2 times the resource cost (10)."""
    return w1 * switching + w2 * resource


def fitness(cost):
    """(12) What the genetic algorithm maximises: 1 / cost."""
    return 1 / cost


# What the equations make of a scenario.


def fetch_delay_s(scenario: Scenario) -> np.ndarray:
    """What a request for each model waits longer at a miss than at a hit: (4) + (5) with every model evicted, s, (I,)."""
    c = scenario.catalogue
    every = np.ones(len(c))
    return transmission_delay_s(every, c.size_gb, scenario.bandwidth_gbps) + preloading_delay_s(every, c.io_delay_s)


def switching_delay_s(scenario: Scenario) -> np.ndarray:
    """What a request for each undeployed model waits: (4) + (5) + (6) with every model evicted, s, (I,)."""
    c = scenario.catalogue
    return fetch_delay_s(scenario) + inference_delay_s(np.ones(len(c)), c.inference_delay_s)


def deployment_cost(scenario: Scenario, deployed) -> np.ndarray:
    """(8) to (10) of deployments (..., I): in GB, or under `resource_unit = capacity` in shares of S and G."""
    c = scenario.catalogue
    share = scenario.resource_unit == "capacity"
    storage = storage_cost(deployed, c.size_gb) / (scenario.storage_gb if share else 1)
    gpu_memory = gpu_memory_cost(deployed, c.gpu_memory_gb) / (scenario.gpu_memory_gb if share else 1)
    return resource_cost(storage, gpu_memory, scenario.beta)


def active_cycle(scenario: Scenario, requests, clock, slot, popularity, requests_per_slot: float | None = None) -> np.ndarray:
    """The active cycle a of eq. 7 as the reading estimates it: in requests, or under `active_cycle = slots` in slots.

    `requests`: how often each model was asked for so far, n_i; `clock`: how many requests there were so far, n, the present one
    included; `slot`: the present slot, from 0; `popularity`: the true shares p_i. They broadcast together. The estimated share is
    (n_i + 1) / (n + I). Under `active_cycle = actual` this is still what a decision goes by: it cannot see the future.
    """
    slots = scenario.active_cycle == "slots"
    rate = scenario.requests_per_slot if requests_per_slot is None else requests_per_slot
    if scenario.popularity == "true":
        with np.errstate(divide="ignore"):  # what is never asked for is infinitely far away
            return 1 / (rate * popularity) if slots else 1 / popularity
    return (slot + 1) / (requests + 1) if slots else (clock + len(scenario.catalogue)) / (requests + 1)
