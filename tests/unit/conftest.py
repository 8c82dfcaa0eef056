"""What all unit tests share."""

from __future__ import annotations

import hypothesis

# The same examples in every run, and nothing kept in files: a failure of the one is a failure of all.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=200)
hypothesis.settings.load_profile("repeatable")
