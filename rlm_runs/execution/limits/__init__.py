"""Limits of endpoints and models that hold across all worker processes of all machines."""
