"""The Kubernetes API behind a narrow port: `api` is the port, `kube` the real thing, `memory` its twin, `children` what is done through it."""
