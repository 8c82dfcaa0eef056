"""The tests, by how much world they need: see CONTRIBUTING.md."""
