"""What one gateway has done."""

import time


class Tally:
    """What the gateway did since it began."""

    def __init__(self) -> None:
        self.began = time.time()
        self.answers: dict[int, int] = {}
        """By status."""
        self.missed = 0
        """Events that live clients were too slow for."""
        self.refused_connections = 0

    def answered(self, status: int) -> None:
        """Count an answer."""
        self.answers[status] = self.answers.get(status, 0) + 1
