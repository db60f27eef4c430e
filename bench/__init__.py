"""Measurements of this project, each beside a peer or a floor."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the settings say for servers, and before numpy is loaded
