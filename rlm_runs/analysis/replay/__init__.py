"""Views of an attempt beside its transcript: spans of time and money, context window, answer, variables."""
