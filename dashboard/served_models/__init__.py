"""The Models page: the available models, their prices, and the record of their calls."""
