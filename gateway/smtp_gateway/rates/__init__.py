"""How fast: rates, budgets of a day and what is learnt from next hops that ask for less. Pure values; the time is always given."""
