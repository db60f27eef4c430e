"""Benchmarks of this project, each beside a peer or a floor."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the settings, and before numpy is loaded
