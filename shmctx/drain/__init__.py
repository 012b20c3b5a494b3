"""Moving records from the ring to the database: election, the leader's loop, recovery."""
