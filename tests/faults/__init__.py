"""A disk that fails, fills or lies, under the spool in the tests' own process."""
