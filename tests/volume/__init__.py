"""Tests on real volumes that are full or fail."""
