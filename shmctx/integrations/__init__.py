"""What other systems bring along, on top of a store: each module stands in for something that they have."""
