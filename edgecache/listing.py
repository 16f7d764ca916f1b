"""The policies by name: label, what each knows, what it does and when it is good. It imports nothing slow."""

from typing import NamedTuple


class PolicyEntry(NamedTuple):
    """What there is to read about a policy."""

    label: str  # in figures
    knows: str  # the `past`, the true `popularity`, or the `future`
    about: str


POLICY_TABLE = {
    "random": PolicyEntry("Random", "past", "evicts at random; good as the least that a policy should beat"),
    "fifo": PolicyEntry("FIFO", "past", "evicts the longest deployed; good where hits cannot be recorded"),
    "lru": PolicyEntry(
        "LRU", "past", "evicts the least recently requested, as llama.cpp, ModelMesh and Ray; good where demand drifts"
    ),
    "lfu": PolicyEntry("LFU", "past", "evicts the least requested (reading `lfu`); good where demand is stable"),
    "lfu-in-cache": PolicyEntry("LFU in cache", "past", "LFU counting since the deployment; good in between"),
    "lfu-da": PolicyEntry("LFU-DA", "past", "LFU with aging; good where the popular models change now and then"),
    "lru-2": PolicyEntry("LRU-2", "past", "evicts the oldest last request but one; good against one-off requests"),
    "hyperbolic": PolicyEntry("Hyperbolic", "past", "requests / time since the deployment; good where newcomers catch on"),
    "gdsf": PolicyEntry("GDSF", "past", "frequency / size, with aging; good for hits where sizes differ"),
    "greedy-dual": PolicyEntry("GreedyDual", "past", "frequency x delay / size, with aging; good for delay"),
    "cremebrulee": PolicyEntry("CremeBrulee style", "past", "reuse x delay / size; good for delay at stable demand"),
    "belady": PolicyEntry("Belady", "future", "evicts the furthest next request; most hits where all sizes are equal"),
    "belady-cost": PolicyEntry("Belady by cost", "future", "Belady weighed by delay and size; good as a mark for delay"),
    "llama-swap": PolicyEntry(
        "llama-swap", "past", "evicts the cheapest to load again, as llama-swap; good for delay at even demand"
    ),
    "lemonade": PolicyEntry("Lemonade", "past", "evicts by idle time / load time, as Lemonade; good for delay where demand drifts"),
    "localai-largest": PolicyEntry(
        "LocalAI, largest first", "past", "evicts the largest file, an option of LocalAI; good for few evictions"
    ),
    "ollama": PolicyEntry("Ollama", "past", "evicts by name, as Ollama where all keep-alives are equal; good as a fixed order"),
    "ga": PolicyEntry(
        "Proposed (GA)", "past", "the paper's Algorithm 1, a genetic algorithm at every miss; good as the method under test"
    ),
    "exact": PolicyEntry(
        "Exact", "past", "the optimum of the decision that the GA searches; good as the yardstick of any myopic method"
    ),
    "optimal-online": PolicyEntry(
        "Optimal online", "popularity", "least average cost for a known popularity; the mark for any online policy"
    ),
    "clairvoyant": PolicyEntry(
        "Clairvoyant", "future", "least cost of the whole trace; the floor of policies that decide at misses and only evict"
    ),
    "optimal-online-delay": PolicyEntry(
        "Optimal online, for delay",
        "popularity",
        "least average delay for a known popularity, whatever it costs; the mark for delay",
    ),
    "clairvoyant-delay": PolicyEntry(
        "Clairvoyant, for delay", "future", "least delay of the whole trace; the floor of the same policies"
    ),
}


def described(name: str) -> tuple[str, str, str]:
    """The name, the label and what the policy is about."""
    return name, POLICY_TABLE[name].label, POLICY_TABLE[name].about
