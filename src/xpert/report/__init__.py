"""Plots and reports of what was found."""
