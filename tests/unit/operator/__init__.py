"""Unit tests of the operator: a cluster in memory, no socket, disk or sleep."""  # noqa: A005 named after the source root that it mirrors
