"""The Workers page: the processes that run rollouts, and their rollouts."""
