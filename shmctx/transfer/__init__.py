"""In and out: what other systems wrote becomes a store, and a store becomes what other systems read."""
