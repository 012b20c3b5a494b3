"""How long after SIGKILL of the leader is the next put in the database?"""

import time

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, alone, main, shown

LIMIT = 30.0


def measure(options: Options) -> list[Row]:
    kills = options.pick(9, 3)
    with stage.Site() as site, stage.Crew(kills + 1) as crew:
        site.create(32 * stage.MiB).close()
        crew.run([(lead, site.name, str(site.database))])
        with shmctx.attach(site.name) as store:
            store.put("bench:start", durable=True)
            times = [kill(crew, store, victim) for victim in range(kills)]
    note = (
        f"{kills} kills, the longest {shown([max(times)], 's')}; each time one standby, "
        "and from the signal to the return of a durable put"
    )
    return [alone("failover after SIGKILL of the leader", "s", times, Target("at most", 1.0, "under 1 s"), note=note)]


def kill(crew: stage.Crew, store: shmctx.Store, victim: int) -> float:
    """Kill the leader, which is worker `victim`, when the next worker stands by; seconds until a put is durable."""
    crew.start(victim + 1, (stand_by, store.name))
    crew.result(victim + 1)
    deadline = time.monotonic() + LIMIT
    while store.stats()["leader"]["pid"] != crew.pid(victim):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {crew.pid(victim)} did not become the leader")
        time.sleep(0.01)
    start = time.perf_counter()
    crew.kill(victim)
    store.put("bench:failover", durable=True)
    return time.perf_counter() - start


_held: list[shmctx.Store] = []  # keeps a store open between tasks


def lead(name: str, database: str) -> None:
    """Drain the store in this process from now on."""
    _held.append(shmctx.open(name, db=database))


def stand_by(name: str) -> None:
    """Be ready to lead in this process from now on."""
    _held.append(shmctx.attach(name, standby=True))


if __name__ == "__main__":
    raise SystemExit(main(["failover"]))
