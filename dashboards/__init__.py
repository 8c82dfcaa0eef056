"""The Grafana dashboards: what they show, how Grafana is told, and how they are drawn without it.

`fleet` and `gateway` are what is shown, as values; `grafana` turns them into Grafana's JSON (`python -m dashboards NAME`, or all of them by
`make dashboards`). `server` asks a Prometheus what a committed dashboard asks, and `picture` draws the answers.
"""
