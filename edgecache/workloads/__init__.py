"""Demands, for whoever doubts Poisson: bursts, drift, locality, hours of the day, request logs, and fitted twins of logs.

A *demand* is any object with a `name` and a method `trace(scenario, stream)` that returns a `Trace`: `sweep(demand=...)` and
`simulate(demand=...)` take one, or a word such as `gamma:cv=4` (see `words`). `arrivals` says when requests come, `choices` which
model each asks for, and `generated` puts one of each together. `logged` plays a log, as it is or resampled by `resampling`.
`twins` are fitted to a log by `twin_fit`, and checked. `derived` shuffles any demand, or takes a stretch of it.

To add arrivals, add a frozen dataclass with a method `times(scenario, rng)` to `arrivals` and to `words.ARRIVALS`. To add a choice
of models, add one with a method `models(popularity, times, rng)` to `choices` and to `words.CHOICES`. Its fields are the numbers
that a word may set. For a demand of another kind, pass the object.
"""
