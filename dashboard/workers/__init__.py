"""The Workers page: which processes run rollouts, and which rollouts they run."""
