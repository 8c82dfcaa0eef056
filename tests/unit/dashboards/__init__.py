"""Tests without socket, disk or sleep."""
