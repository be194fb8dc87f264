"""The paper's experiments as functions that return values and tables."""
