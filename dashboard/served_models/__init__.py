"""The Models page: which models can be called, at what price, and how they have answered."""
