"""Decisions of the lab."""
