"""Forks: the form on a turn, the tree of forks, and what differed before a fork goes on."""
