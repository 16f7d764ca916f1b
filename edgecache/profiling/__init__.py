"""Profiling: measure real networks on this machine, and replay a trace against them."""
