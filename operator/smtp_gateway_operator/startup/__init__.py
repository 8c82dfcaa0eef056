"""How the operator's process is put together: `settings` for kopf, `logs`, `connection` to the API, and `process`, which owns what runs."""
