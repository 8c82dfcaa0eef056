"""The outside world: a real name server, mail exchangers of every kind and real mail servers, in a network of the tests' own."""
