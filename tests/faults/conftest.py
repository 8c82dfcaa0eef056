"""What the tests of a failing disk share with those of a killed process."""

from tests.crash.conftest import quiet, syncs_by_thread

__all__ = ["quiet", "syncs_by_thread"]
