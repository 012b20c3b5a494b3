"""The hot side: records in shared memory."""
