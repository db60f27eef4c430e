"""Measurements of this project, each beside a peer or a floor."""

import rlm_runs  # noqa: F401  first of all, so that numpy has one thread here, too
