"""A store of Recursive Language Model rollouts."""

import os

# Web processes and workers share few cores: one that multiplies matrices on all of them waits for the others.
# It must be said before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
