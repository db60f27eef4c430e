"""The tabs of a replay, and the number of turns on a page of its transcript."""

SECTIONS = (
    ("rollout", "Transcript"),
    ("rollout-timeline", "Timeline"),
    ("rollout-flame", "Flame graph"),
    ("rollout-context", "Context window"),
    ("rollout-answer", "Answer"),
    ("rollout-variables", "Variables"),
    ("rollout-input", "Input"),
    ("rollout-diagnosis", "Diagnosis"),
)
"""The names of the views, with the titles of their tabs."""

TURNS_OF_PAGE = 30
