"""How the operator's process is put together, around `process`, which owns what runs.

`settings` and `contact` are for kopf, `connection` is to the API server, `lease` keeps a second operator waiting, `pages` shows probes and
metrics, and `logs` sets up the logs.
"""
