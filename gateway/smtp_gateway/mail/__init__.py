"""The vocabulary of mail: frozen values and pure functions of the standard library.

Nothing here does I/O, reads a clock or writes a log; every other room is written in these words (RFC 5321, RFC 5598).
"""
