"""Forks: the form on a turn, the tree of forks, and the differences shown before a fork continues."""
