"""The truth about smarthosts: each is asked for a session every minute, without mail, so that a broken one is known before mail is late."""
