"""The figures by title: what each shows, its picture, and the tables and the notebook behind it."""

from pathlib import Path

from edgecache.errors import InputError
from edgecache.figures.output import source_tables

from . import RESULTS, ROOT

FIGURES = ROOT / "figures"
NOTEBOOKS = {"01": "01-profiling", "02": "02-system-model", "03": "03-resource-sweeps", "04": "04-robustness", "05": "05-optimality",
             "06": "06-readings"}  # fmt: skip
USERS = "What users get, and what it takes: service delay and hit ratio, backhaul and energy. The paper does not show these."
BOXES = "One panel per point. Boxes: quartiles over slots; whiskers: the 5 % and 95 % quantiles; the mean is marked."
TITLES = {  # figure: number of its notebook, title, and what it shows
    "headline-cost-and-delay-vs-gpu-memory": ("03", "Cost and delay against GPU memory", "What the paper minimises beside what users wait for."),
    "fig1-service-delay": ("01", "Fig. 1: service delay by service", "First and preloaded delay, from the catalogue's numbers."),
    "fig1-service-delay-measured": ("01", "Fig. 1, measured", "The same on real networks, scaled down until a CPU runs them."),
    "replay-predicted-and-measured": ("01", "Predicted and measured delays", "The simulator's delays beside a replay on real networks."),
    "fig2-framework": ("02", "Fig. 2: the system", "Users, the edge server with its storage and GPU memory, and the cloud."),
    "algorithm1-convergence": ("02", "Algorithm 1 at one decision", "Lowest and mean cost of each generation, beside the exact optimum."),
    "fig3a-cost-vs-storage": ("03", "Fig. 3a: cost against storage", "Mean cost per slot of each policy, with 95 % intervals."),
    "fig3a-users-vs-storage": ("03", "Users against storage", USERS),
    "fig3b-cost-vs-gpu-memory": ("03", "Fig. 3b: cost against GPU memory", "Mean cost per slot of each policy, with 95 % intervals."),
    "fig3b-users-vs-gpu-memory": ("03", "Users against GPU memory", USERS),
    "fig3c-cost-distribution-vs-storage": ("03", "Fig. 3c: distribution of the cost, by storage", BOXES),
    "fig3c-users-distribution-vs-storage": ("03", "Distribution of the delay, by storage", USERS),
    "fig3d-cost-distribution-vs-gpu-memory": ("03", "Fig. 3d: distribution of the cost, by GPU memory", BOXES),
    "fig3d-users-distribution-vs-gpu-memory": ("03", "Distribution of the delay, by GPU memory", USERS),
    "fig4a-cost-vs-slots": ("04", "Fig. 4a: cost against the number of slots", "Mean cost per slot of each policy, with 95 % intervals."),
    "fig4a-users-vs-slots": ("04", "Users against the number of slots", USERS),
    "fig4b-cost-distribution-vs-slots": ("04", "Fig. 4b: distribution of the cost, by number of slots", BOXES),
    "fig4b-users-distribution-vs-slots": ("04", "Distribution of the delay, by number of slots", USERS),
    "fig4c-cost-vs-arrival-rate": ("04", "Fig. 4c: cost against the arrival rate", "Mean cost per slot of each policy, with 95 % intervals."),
    "fig4c-users-vs-arrival-rate": ("04", "Users against the arrival rate", USERS),
    "fig4c-equal-cost-vs-arrival-rate-per-model": ("04", "Cost against the arrival rate per model", "Fig. 4c with equally popular models."),
    "fig4c-equal-users-vs-arrival-rate-per-model": ("04", "Users against the arrival rate per model", USERS),
    "fig4d-cost-distribution-vs-arrival-rate": ("04", "Fig. 4d: distribution of the cost, by arrival rate", BOXES),
    "fig4d-users-distribution-vs-arrival-rate": ("04", "Distribution of the delay, by arrival rate", USERS),
    "fig4d-equal-cost-distribution-vs-arrival-rate-per-model": ("04", "Distribution of the cost, by arrival rate per model", BOXES),
    "fig4d-equal-users-distribution-vs-arrival-rate-per-model": ("04", "Distribution of the delay, by arrival rate per model", USERS),
    "optimality-gap-split": ("05", "The gap to the floor by cause, popularity known", "Solver error, deciding one miss at a time, unknown future."),
    "optimality-gap-split-estimated": ("05", "The gap to the floor by cause, literal reading", "The same where the popularity is estimated."),
    "optimality-tradeoff": ("05", "Cost against delay", "Each policy a point; the fronts are the best possible at each price of a second."),
    "optimality-ranking": ("05", "Policies ranked by cost and by delay", "Mean cost per slot, and mean delay, of every policy."),
    "optimality-ga-certificate": ("05", "How soon the genetic algorithm finds the optimum", "Share of decisions, by evaluations."),
    "optimality-growth": ("05", "Time and loss by number of models", "How long a decision takes, and how far it is from the optimum."),
    "optimality-capacity-map": ("05", "Which limit binds", "What lifting the limit of each resource would save in the long run."),
    "readings-ledger": ("06", "The ledger", "Which of the paper's claims holds under which named reading."),
    "readings-heat-map": ("06", "Claims by readings", "The named readings and the best of the search, one column each."),
    "readings-headline": ("06", "The headline against the trends", "The least and the largest reduction of every reading tried."),
    "readings-scopes": ("06", "Claims by scope", "How often claims hold, by what a decision may choose, on the same draws."),
    "readings-sensitivity": ("06", "What decides each claim", "Share of each claim's variance that one switch or number explains."),
    "readings-catalogues": ("06", "What rests on the catalogue", "How often claims hold when the calibrated cells vary at random."),
}  # fmt: skip


def picture(stem: str) -> Path | None:
    """The file of a figure that is committed: SVG before PNG; None where there is none."""
    return next((path for path in (FIGURES / f"{stem}.svg", FIGURES / f"{stem}.png") if path.exists()), None)


def figures() -> str:
    """Every committed figure under its title. Raises InputError for a figure without a title."""
    drawn = {path.stem for ending in ("png", "svg") for path in FIGURES.glob(f"*.{ending}")}
    if untitled := sorted(drawn - set(TITLES)):
        raise InputError(f"the figure {untitled[0]} has no title: add one to TITLES in tools/blocks/figures.py")
    parts = []
    for stem, (number, title, what) in TITLES.items():
        if path := picture(stem):
            notebook = NOTEBOOKS[number]
            links = [f"[notebook {number}](../notebooks/{notebook}.ipynb)"]
            links += [f"[{name}](../data/results/{name})" for name in _tables(path)]
            parts.append(f"## {title}\n\n{what} {', '.join(links)}.\n\n![{title}](../figures/{path.name})")
    return "\n\n".join(parts)


def _tables(path: Path) -> list[str]:
    """The tables that a figure is drawn from, as far as they are committed."""
    named = source_tables(path) if path.suffix == ".png" else [f"{path.stem}.csv"]
    return [name for name in named if (RESULTS / name).exists()]
