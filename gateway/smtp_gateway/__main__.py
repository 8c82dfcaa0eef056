"""`python -m smtp_gateway`."""

from __future__ import annotations

import sys

from smtp_gateway.cli import main

if __name__ == "__main__":
    sys.exit(main())
