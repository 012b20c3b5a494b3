"""A sensor: puts what it reads, and says where. What would be an instrument elsewhere is simulated here."""

import random
import sys

from model import cooling

import shmctx

RATE, AMBIENT, SECONDS, NOISE = 0.3, 21.0, 20, 0.2

with shmctx.from_env() as store, store.span("sensor:start", agent_id=sys.argv[1]):
    chance = random.Random(sys.argv[1])
    for second, degrees in enumerate(cooling(RATE, AMBIENT, SECONDS)):
        reading = {"second": second, "degrees": degrees + chance.gauss(0.0, NOISE)}
        print(store.put("sensor:reading", data=reading))
