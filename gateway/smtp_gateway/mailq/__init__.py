"""Commands on the queue, after Postfix's mailq(1), postqueue(1) and postsuper(1): the socket, its server in the gateway, and its client."""
