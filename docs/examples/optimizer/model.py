"""How a body cools, and a search for the parameters that fit what was read. Plain functions; nothing of shmctx."""

import math
import random
from collections.abc import Sequence
from typing import Any

STEPS = 7_500  # of the simulation, per second of the body's time
FIRST_TRIAL = {"trial": 0, "best": [0.1, 10.0], "loss": math.inf, "step": 0.5}


def cooling(rate: float, ambient: float, seconds: int, start: float = 90.0) -> list[float]:
    """Degrees after 0, 1, 2, ... seconds: Newton's law of cooling, integrated in steps of 1/STEPS second (Euler)."""
    degrees, found = start, [start]
    factor = rate / STEPS
    for _ in range(seconds):
        for _ in range(STEPS):
            degrees += factor * (ambient - degrees)
        found.append(degrees)
    return found


def loss(candidate: Sequence[float], readings: Sequence[tuple[int, float]]) -> float:
    """The mean squared error of a candidate (rate, ambient), in square degrees."""
    curve = cooling(*candidate, seconds=max(second for second, _ in readings))
    return sum((curve[second] - degrees) ** 2 for second, degrees in readings) / len(readings)


def propose(state: dict[str, Any], seed: int) -> list[float]:
    """The candidate of the trial after `state`: the same one however often, and in whichever process, it is asked."""
    chance = random.Random(f"{seed}:{state['trial'] + 1}")
    return [value * math.exp(state["step"] * chance.gauss(0.0, 1.0)) for value in state["best"]]


def judge(state: dict[str, Any], candidate: list[float], found: float) -> dict[str, Any]:
    """The state after a trial. The step follows the rule of one success in five (Rechenberg 1973, in the form of
    Kern et al. 2004, https://doi.org/10.1023/B:NACO.0000023416.59689.4e).
    """
    if found < state["loss"]:
        return {"trial": state["trial"] + 1, "best": candidate, "loss": found, "step": state["step"] * 1.5}
    return {**state, "trial": state["trial"] + 1, "step": state["step"] * 1.5**-0.25}
