"""Budgets of experiments, which hold across all worker processes."""
