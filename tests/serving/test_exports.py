"""Configurations of deployed servers, against what their documents say a configuration is."""

import json
import re

import jsonschema
import numpy as np
import pytest
import yaml

from edgecache import Catalogue
from edgecache.serving import Arrivals, ServedModels, Server, SwapSets, llama_swap_yaml, ollama_json, serve, sets_that_fit

# Written from llama-swap's documentation of its configuration: what is required, and what a value may be.
LLAMA_SWAP = {
    "type": "object",
    "required": ["models"],
    "properties": {
        "models": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["cmd"],
                "properties": {"cmd": {"type": "string", "minLength": 1}, "ttl": {"type": "integer", "minimum": 0}},
                "additionalProperties": False,
            },
        },
        "matrix": {
            "type": "object",
            "required": ["vars", "sets"],
            "properties": {
                "vars": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"pattern": "^[a-zA-Z0-9]{1,8}$"},
                    "additionalProperties": {"type": "string"},
                },
                "evict_costs": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                "sets": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
            },
            "additionalProperties": False,
        },
        "hooks": {
            "type": "object",
            "properties": {
                "on_startup": {
                    "type": "object",
                    "properties": {"preload": {"type": "array", "items": {"type": "string"}}},
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
OLLAMA = {
    "type": "object",
    "required": ["environment", "requests"],
    "properties": {
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "requests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["model", "keep_alive"],
                "properties": {
                    "model": {"type": "string"},
                    "keep_alive": {"oneOf": [{"const": -1}, {"type": "string", "pattern": r"^\d+s$"}]},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


def planned():
    names = ("chat", "code: large", "speech", "huge")
    catalogue = Catalogue(names, [4, 9, 1, 50], [4, 9, 1, 50], [0.2] * 4, [9, 30, 0.2, 99], [4, 4, 1, 9])
    models = ServedModels(catalogue, ttl_s=[300.0, np.inf, 0.4, 60], parallel=2)
    arrivals = Arrivals([0, 10, 20, 30], [0, 1, 2, 0], [4, 4, 1, 4])
    return Server(gpu_memory_gb=10), models, arrivals


def test_llama_swap_parses_by_its_schema_and_names_what_fits():
    server, models, arrivals = planned()
    config = yaml.safe_load(llama_swap_yaml(server, models, arrivals))
    jsonschema.validate(config, LLAMA_SWAP)
    assert {name: model["ttl"] for name, model in config["models"].items()} == {"chat": 300, "code: large": 0, "speech": 1}
    short, sets = config["matrix"]["vars"], config["matrix"]["sets"]
    assert short == {"m0": "chat", "m1": "code: large", "m2": "speech"} and config["matrix"]["evict_costs"]["m1"] == 30
    memory = dict(zip(models.catalogue.services, models.catalogue.gpu_memory_gb, strict=True))
    for text in sets.values():
        members = [short[name] for name in re.split(r" & ", text)]
        assert sum(memory[member] for member in members) <= 10
    assert sorted(sets.values()) == ["m0 & m2", "m1 & m2"] and config["hooks"]["on_startup"]["preload"] == ["code: large", "speech"]


def test_the_exported_sets_run_as_our_own_model_of_the_solver():
    """What is exported is what `SwapSets` simulates."""
    server, models, arrivals = planned()
    groups = sets_that_fit(server, models, arrivals)
    services = models.catalogue.services
    rule = SwapSets(services, [[services[index] for index in group] for group in groups])
    run = serve(server, models.vary(ttl_s=np.inf), arrivals, rule)
    # chat runs to 13; code loads to 43 and runs to 47; speech fits beside it and loads after it; chat drives code out at 47
    assert run.wait_s == pytest.approx([9.0, 33.0, 23.2, 26.0])


def test_every_model_that_fits_is_in_a_set():
    rng = np.random.default_rng(0)
    for _ in range(50):
        memory = rng.uniform(1, 12, 9)
        models = ServedModels(Catalogue(tuple("abcdefghi"), [1] * 9, memory, [0] * 9, rng.uniform(1, 30, 9), [1] * 9))
        arrivals = Arrivals(np.arange(60.0), rng.integers(0, 9, 60), np.ones(60))
        groups = sets_that_fit(Server(gpu_memory_gb=10), models, arrivals)
        assert set().union(*groups) == set(np.flatnonzero(memory <= 10))
        assert all(memory[group].sum() <= 10 + 1e-9 for group in groups)
        assert not any(set(one) < set(other) for one in groups for other in groups)


def test_ollama_parses_by_its_schema():
    server, models, _ = planned()
    config = json.loads(ollama_json(server, models))
    jsonschema.validate(config, OLLAMA)
    assert config["environment"] == {"OLLAMA_MAX_LOADED_MODELS": "3", "OLLAMA_NUM_PARALLEL": "2", "OLLAMA_KEEP_ALIVE": "-1"}
    assert [request["keep_alive"] for request in config["requests"]] == ["300s", -1, "0s"]
