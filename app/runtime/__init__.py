"""Keeps a process serving: queue and workers, model switching, shared state, start and stop."""
