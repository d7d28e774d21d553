"""Random faults, one after the other, while events flow; and a broker that forgets what it has acknowledged."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.balance import Balance
from tests.chaos.broker import FORGETFUL
from tests.chaos.emitter import is_drained
from tests.chaos.rig import Rig
from tests.chaos.row import ChaosRow
from tests.support.waiting import PATIENCE_S, eventually

Step = Callable[[str], None]
MAX_RIGS = 4  # at the same time: most of it is waiting
RATE = 60  # events a second, of each
UNLIMITED = 10**9


def _kill_emitter(rig: Rig, random_: random.Random) -> None:
    rig.emitter.kill()
    time.sleep(random_.uniform(0, 0.5))
    rig.emitter.start(RATE, UNLIMITED)


def _kill_broker(rig: Rig, random_: random.Random) -> None:
    rig.broker.kill()
    time.sleep(random_.uniform(0, 2))
    rig.broker.start()


def _kill_both(rig: Rig, random_: random.Random) -> None:
    rig.broker.kill()
    _kill_emitter(rig, random_)
    rig.broker.start()


def _freeze_broker(rig: Rig, random_: random.Random) -> None:
    rig.broker.freeze()
    time.sleep(random_.uniform(0.5, 6))  # the emitter notices after 2 to 4
    rig.broker.thaw()


def _cut(rig: Rig, random_: random.Random) -> None:
    rig.wire.cut()
    time.sleep(random_.uniform(0, 3))
    rig.wire.mend()


def _reset(rig: Rig, random_: random.Random) -> None:
    for _ in range(random_.randint(1, 3)):
        rig.wire.reset()
        time.sleep(random_.uniform(0, 0.3))


def _slow_link(rig: Rig, random_: random.Random) -> None:
    rig.wire.slow(random_.uniform(0.05, 0.5), random_.uniform(2_000, 20_000))
    time.sleep(random_.uniform(0.5, 4))
    if random_.random() < 0.5:
        rig.wire.reset()  # with everything that is on its way
    rig.wire.mend()


FAULTS = {
    "kill -9 emitter": _kill_emitter,
    "kill -9 broker": _kill_broker,
    "kill -9 both": _kill_both,
    "SIGSTOP broker": _freeze_broker,
    "wire cut": _cut,
    "RST": _reset,
    "slow link": _slow_link,
}


@dataclass(frozen=True)
class Outcome:
    """The result of one rig."""

    balance: Balance
    faults: Counter[str]
    settled_s: float  # from the last fault's end


def run_with_faults(folder: Path, faults: int, events: int, seed: int, step: Callable[[], None]) -> Outcome:
    """Run one rig that emits at least `events`; `step` is called after each fault."""
    random_, injected = random.Random(seed), Counter[str]()
    with Rig(folder, replayable=1_000_000) as rig:
        rig.emitter.start(RATE, UNLIMITED)
        for _ in range(faults):
            rig.wait_for_flow(40)
            # half of them hit a connection that has just come back, the others one that was steady
            time.sleep(random_.uniform(0, 1) if random_.random() < 0.5 else random_.uniform(5, 6))
            name = random_.choice(list(FAULTS))
            FAULTS[name](rig, random_)
            injected[name] += 1
            step()
        rig.emitter.kill()
        rig.emitter.start(500, events)  # those that are still missing
        settled_s = rig.settle()
        return Outcome(rig.balance(), injected, settled_s)


def conservation(
    folder: Path, faults: int, events: int, seed: int, step: Step, max_rigs: int = MAX_RIGS
) -> list[ChaosRow]:
    """Run all rigs; `step` shows the progress."""
    done, start_s = [0], time.monotonic()

    def count() -> None:
        done[0] += 1
        step(f"fault {done[0]} of {faults}")

    rigs = min(max_rigs, faults)
    shares = [faults // rigs + (number < faults % rigs) for number in range(rigs)]
    with ThreadPoolExecutor(rigs) as pool:
        jobs = [
            pool.submit(
                run_with_faults, folder / f"rig-{number}", share, -(-events // rigs), seed * 1000 + number, count
            )
            for number, share in enumerate(shares)
        ]
        outcomes = [job.result() for job in jobs]
    seconds = time.monotonic() - start_s
    balances = [outcome.balance for outcome in outcomes]
    injected = sum((outcome.faults for outcome in outcomes), Counter[str]())
    emitted, lost = sum(one.emitted for one in balances), sum(len(one.missing) + one.unreceived for one in balances)
    doubles, disordered = sum(one.doubles for one in balances), sum(one.disordered for one in balances)
    duplicates = sum(one.duplicates for one in balances)
    return [
        ChaosRow(
            what=f"{faults} random faults",
            goal=f"0 of >= {events} events lost, double, out of order",
            figure=f"{lost}, {doubles}, {disordered} of {emitted}",
            ok=all(one.is_even for one in balances) and emitted >= events,
            note=f"{seconds:.0f} s, seed {seed}, {rigs} rigs at once; {duplicates} duplicates before dedupe; "
            + ", ".join(f"{name} {count}" for name, count in sorted(injected.items())),
            samples={
                "seconds": seconds,
                "emitted": emitted,
                "duplicates": duplicates,
                "settled, s": [outcome.settled_s for outcome in outcomes],
            },
        )
    ]


def forgetful(folder: Path, step: Step) -> list[ChaosRow]:
    """Run a broker as Debian ships it, which loses what it has acknowledged for a subscriber that is away."""
    step("a broker that forgets")
    with Rig(folder, memory=FORGETFUL) as rig:
        _emit(rig, 200)
        rig.wait_until_quiet()
        rig.emitter.stop()
        rig.recorder.disconnect()
        _emit(rig, 600)
        rig.emitter.stop()
        rig.broker.kill()
        rig.broker.start()
        rig.recorder.connect()
        _emit(rig, 800)
        rig.wait_until_quiet()
        missing, newest, received = 0, dict[str, int](), rig.recorder.events.copy()
        for event in received:  # as any subscriber would notice it
            before = newest.get(event.camera, 0)
            if event.seq > before + 1:
                missing += event.seq - before - 1
                request = {"camera": event.camera, "from_seq": before + 1, "to_seq": event.seq - 1}
                rig.request_replay(request)
            newest[event.camera] = event.seq
        if missing:
            eventually(lambda: rig.recorder.count >= len(received) + missing)
        rig.wait_until_quiet()
        rig.emitter.stop()
        balance = rig.balance()
    return [
        ChaosRow(
            what="broker forgets what it acknowledged",
            goal="seq shows the gap, replay closes it",
            figure=f"{missing} missing, then {len(balance.missing)}",
            ok=missing > 0 and balance.is_even,
            note="mosquitto without autosave_on_changes, kill -9 while a durable subscriber is away",
        )
    ]


def _emit(rig: Rig, events: int) -> None:
    """Start the emitter, and wait until the broker has acknowledged this many events of its log."""
    rig.emitter.start(400, events)
    rig.emitter.wait_for(is_drained, PATIENCE_S)
