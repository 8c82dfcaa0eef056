"""A real Kubernetes cluster, the real images."""
