"""`python -m rlm_runs.demo`: see `command`."""

from .command import main

main()
