"""The paper's checkable claims: whether each holds, how sure that is, and under which readings of the paper's lost symbols.

`statements` lists the claims. `verdicts` judges them from costs, `ledger` simulates those costs until every verdict is decided.
`design` draws readings and judges each by its means, and `search` finds the readings that support most claims. `sensitivity` says
which parameter decides a claim. `calibration` measures how often verdicts are wrong, and how often the intervals of the tables
cover the truth. `pairs` compares how often two settings hold a claim on the same draws, and what a second look leaves of the
search's counts.

To add a claim, add one row to `statements.SIMULATED`: a name, the paper's section, what it says, and a function that lists its
statements on a grid of points. A claim about the catalogue is a row of `statements.CATALOGUE_CLAIMS` with a measure of a scenario.
The ledger, the search and the figures follow. `make readings` then judges the new claim and writes the committed tables again.
"""
