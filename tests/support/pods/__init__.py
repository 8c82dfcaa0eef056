"""Programs that run inside the cluster, in the gateway's image: standard library only."""
