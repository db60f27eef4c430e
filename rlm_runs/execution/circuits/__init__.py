"""Circuits: a model that fails for everybody is left alone until a probe succeeds."""
