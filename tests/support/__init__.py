"""A small library for the tests: servers, clients, waiting."""
