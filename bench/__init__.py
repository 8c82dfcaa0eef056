"""The same load on this gateway and on other relays, in one run on the same cores. `bench/README.md` has the method."""
