"""Where mail goes: from a recipient to its route, and from a route to the next hops that may be tried, in order."""
