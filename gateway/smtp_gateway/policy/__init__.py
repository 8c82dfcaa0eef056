"""Who may send, and what: decisions that end in a reply or in an identity. Nothing here does I/O."""
