"""Figures of the system model (notebook 02): the framework, and how Algorithm 1 converges."""

from typing import Literal

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from .style import POLICY_STYLE, STYLE, panels


def convergence(log: pd.DataFrame) -> Figure:
    """Draw Algorithm 1 at one miss: the lowest and the mean decision cost of each generation, and the optimum.

    Parameters
    ----------
    log : pandas.DataFrame
        One row per generation: `generation`, `met` (the lowest cost met so far), `mean` (of the population), and `optimum` (the
        decision's lowest cost, the same in every row).

    Returns
    -------
    matplotlib.figure.Figure
        One panel.

    Examples
    --------
    >>> log = pd.DataFrame({"generation": [0, 1], "met": [3.0, 2.0], "mean": [5.0, 4.0], "optimum": 2.0})
    >>> len(convergence(log).axes)
    1
    """
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1)
        axis.axhline(log["optimum"].iloc[0], color=POLICY_STYLE["exact"][0], linestyle="--", linewidth=1, label="Exact (optimum)")
        axis.plot(log["generation"], log["mean"], color="0.55", label="mean of the population")
        axis.plot(log["generation"], log["met"], color=POLICY_STYLE["ga"][0], marker="o", markersize=4, label="best met so far")
        axis.set(xlabel="Generation", ylabel="Cost of the decision\n($w_1$ s + $w_2$ GB)", ylim=(0, None))
        axis.legend(loc="upper right")
    return figure


def framework() -> Figure:
    """Draw Fig. 2: the edge-cloud framework, and the way of a request through it.

    Returns
    -------
    matplotlib.figure.Figure
        A drawing without data.

    Examples
    --------
    >>> [text.get_text() for text in framework().axes[0].texts][:2]
    ['Users', 'text to image']
    """
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.6, 4.3))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, 100), ylim=(0, 50))
        axis.axis("off")

        def box(
            x: float, y: float, width: float, height: float, text: str, face: str,
            weight: str = "normal", size: float = 8, top: bool = False,
        ) -> None:  # fmt: skip
            axis.add_patch(FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=1", facecolor=face, edgecolor="0.3"))
            axis.text(x + width / 2, y + height - 2.2 if top else y + height / 2, text, ha="center", va="center", fontsize=size,
                      fontweight=weight)  # fmt: skip

        def arrow(
            start: tuple[float, float], end: tuple[float, float], text: str, at: tuple[float, float],
            colour: str = "0.15", ha: Literal["center", "left", "right"] = "center",
        ) -> None:  # fmt: skip
            axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour, linewidth=1.3))
            axis.text(at[0], at[1], text, ha=ha, va="center", fontsize=7.5, color=colour)

        miss, hit = POLICY_STYLE["ga"][0], POLICY_STYLE["lru"][0]
        box(2, 14, 14, 22, "Users", "#f4f4f4", "bold", 10, top=True)
        for row, text in enumerate(("text to image", "text to music", "speech recognition")):
            box(2.9, 27 - 5 * row, 12.2, 3.6, text, "white", size=6.5)
        box(31, 4, 36, 42, "Edge server", "#eaf2f8", "bold", 10, top=True)
        box(34, 31, 30, 10.5, "Deployed models  x(t)", "white", size=8, top=True)
        for column, text in enumerate(("GPT-2", "BLIP", "BERT", "free")):
            box(35.2 + 7 * column, 32.5, 6.4, 4.6, text, "#d5f0e3" if text != "free" else "#f4f4f4", size=7)
        box(34, 17.5, 30, 8.5, "Deployment decision at a miss\nwhich models stay: GA, Exact, LRU, ...", "white")
        box(34, 6, 30, 7.5, "storage $\\leq$ S,  GPU memory $\\leq$ G,\npower $\\leq$ E   (eqs. 1 to 3)", "white")
        box(84, 11, 14, 30, "Cloud server", "#fdf3e1", "bold", 10, top=True)
        for row, text in enumerate(("model 1", "model 2", "...", "model I")):
            box(85.5, 31.5 - 5.6 * row, 11, 4.2, text, "white", size=7)
        arrow((16, 34), (34, 37.5), "1  request", (24.5, 38.2))
        arrow((34, 32.5), (16, 29), "2  hit: waits k", (23.6, 33.2), hit)
        arrow((55, 31), (55, 26), "3  miss", (56.5, 28.5), miss, ha="left")
        arrow((64, 21.5), (84, 21.5), "4  ask for the model", (75.5, 19.5), miss)
        arrow((84, 27), (64, 33.5), "5  transmission\n8 \N{MULTIPLICATION SIGN} size / B", (75.5, 35), miss)
        arrow((49, 26), (49, 31), "evict, deploy", (47.8, 28.5), miss, ha="right")
        arrow((49, 17.5), (49, 13.5), "within", (50.5, 15.5), "0.35", ha="left")
        arrow((34, 31.4), (16, 18.5), "6  I/O l, then\ninference k", (25.4, 20.5), miss)
    return figure
