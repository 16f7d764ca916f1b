"""Analysis of runs: for readers who ask why a decision was taken, how far a method is from the best, and what differs.

- `explanations`: every decision of a slot. `reasons` has how the policy saw each model, `alternatives` what else was allowed.
- `comparison`: policies of one server side by side, as a table and in sentences.
- `swept`: one parameter swept, with the mean of every outcome and its distribution over slots (Fig. 3 and 4).
- `delays`: what users wait, as a distribution.
- `demands`: policies under several demands, and where their ranking flips.
- `gaps`: the distance of the GA to the optimum and to the bounds, and which capacity is scarce.

An analysis reads what `simulate` or `sweep` returned and gives a tidy table; figures are drawn elsewhere from such tables. To add
one, write a function from a `Simulation`, or from a table, to a table, in a module of its own. It may import the root package and
`policies`. If a sentence should go with the table, make it from the table alone, so that words and numbers agree.
"""
