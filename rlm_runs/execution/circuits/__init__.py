"""Circuits: a model that fails for all calls gets no calls until a probe succeeds."""
