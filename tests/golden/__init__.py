"""Manifests that the operator would apply, beside the resources they come from."""
