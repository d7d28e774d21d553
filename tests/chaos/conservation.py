"""Random faults, one after the other, while events flow; and a broker that forgets what it has acknowledged."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.books import Books
from tests.chaos.broker import FORGETFUL
from tests.chaos.rig import Rig, until
from tests.chaos.row import Row

Step = Callable[[str], None]
RIGS = 4  # that are tormented at the same time: most of it is waiting
RATE = 60  # events a second, of each
EMITTED_EVER = 10**9


def _kill_emitter(rig: Rig, dice: random.Random) -> None:
    rig.emitter.kill()
    time.sleep(dice.uniform(0, 0.5))
    rig.emitter.start(RATE, EMITTED_EVER)


def _kill_broker(rig: Rig, dice: random.Random) -> None:
    rig.broker.kill()
    time.sleep(dice.uniform(0, 2))
    rig.broker.start()


def _kill_both(rig: Rig, dice: random.Random) -> None:
    rig.broker.kill()
    _kill_emitter(rig, dice)
    rig.broker.start()


def _freeze_broker(rig: Rig, dice: random.Random) -> None:
    rig.broker.freeze()
    time.sleep(dice.uniform(0.5, 6))  # the emitter notices after 2 to 4
    rig.broker.thaw()


def _cut(rig: Rig, dice: random.Random) -> None:
    rig.wire.cut()
    time.sleep(dice.uniform(0, 3))
    rig.wire.mend()


def _reset(rig: Rig, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 3)):
        rig.wire.reset()
        time.sleep(dice.uniform(0, 0.3))


def _slow_link(rig: Rig, dice: random.Random) -> None:
    rig.wire.slow(dice.uniform(0.05, 0.5), dice.uniform(2_000, 20_000))
    time.sleep(dice.uniform(0.5, 4))
    if dice.random() < 0.5:
        rig.wire.reset()  # with all that was under way
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
    books: Books
    faults: Counter[str]
    settled_s: float  # from the last fault's end


def torment(folder: Path, faults: int, events: int, seed: int, step: Callable[[], None]) -> Outcome:
    """One rig. `events`: no less than these are emitted."""
    dice, suffered = random.Random(seed), Counter[str]()
    with Rig(folder, replayable=1_000_000) as rig:
        rig.emitter.start(RATE, EMITTED_EVER)
        for _ in range(faults):
            rig.flowing(40)
            # half of them hit what has just come back, the others a connection that was steady
            time.sleep(dice.uniform(0, 1) if dice.random() < 0.5 else dice.uniform(5, 6))
            name = dice.choice(list(FAULTS))
            FAULTS[name](rig, dice)
            suffered[name] += 1
            step()
        rig.emitter.kill()
        rig.emitter.start(500, events)  # those that are still missing
        settled_s = rig.settle()
        return Outcome(rig.books(), suffered, settled_s)


def conservation(folder: Path, faults: int, events: int, seed: int, step: Step) -> list[Row]:
    done, began = [0], time.monotonic()

    def one() -> None:
        done[0] += 1
        step(f"fault {done[0]} of {faults}")

    rigs = min(RIGS, faults)
    shares = [faults // rigs + (number < faults % rigs) for number in range(rigs)]
    with ThreadPoolExecutor(rigs) as pool:
        jobs = [
            pool.submit(torment, folder / f"rig-{number}", share, -(-events // rigs), seed * 1000 + number, one)
            for number, share in enumerate(shares)
        ]
        outcomes = [job.result() for job in jobs]
    seconds = time.monotonic() - began
    kept = [outcome.books for outcome in outcomes]
    suffered = sum((outcome.faults for outcome in outcomes), Counter[str]())
    emitted, lost = sum(one.emitted for one in kept), sum(len(one.missing) + one.unheard for one in kept)
    doubles, disordered = sum(one.doubles for one in kept), sum(one.disordered for one in kept)
    duplicates = sum(one.duplicates for one in kept)
    return [
        Row(
            what=f"{faults} random faults",
            goal=f"0 of >= {events} events lost, double, out of order",
            figure=f"{lost}, {doubles}, {disordered} of {emitted}",
            ok=all(one.balanced for one in kept) and emitted >= events,
            note=f"{seconds:.0f} s, seed {seed}, {rigs} rigs at once; {duplicates} duplicates before dedupe; "
            + ", ".join(f"{name} {count}" for name, count in sorted(suffered.items())),
            samples={
                "seconds": seconds, "emitted": emitted, "duplicates": duplicates,
                "settled, s": [outcome.settled_s for outcome in outcomes],
            },
        )
    ]  # fmt: skip


def forgetful(folder: Path, step: Step) -> list[Row]:
    """A broker as Debian ships it: what it has acknowledged for a subscriber that is away dies with it."""
    step("a broker that forgets")
    with Rig(folder, memory=FORGETFUL) as rig:
        rig.emitter.start(400, 200)
        rig.emitter.until(lambda said: said["done"] and said["waiting"] == 0, 60)
        rig.quiet()
        rig.emitter.stop()
        rig.subscriber.go()
        rig.emitter.start(400, 600)
        rig.emitter.until(lambda said: said["done"] and said["waiting"] == 0, 60)
        rig.emitter.stop()
        rig.broker.kill()
        rig.broker.start()
        rig.subscriber.come()
        rig.emitter.start(400, 800)
        rig.emitter.until(lambda said: said["done"] and said["waiting"] == 0, 60)
        rig.quiet()
        gap, newest, seen = 0, dict[str, int](), rig.subscriber.heard.copy()
        for event in seen:  # as any subscriber would notice it
            before = newest.get(event.camera, 0)
            if event.seq > before + 1:
                gap += event.seq - before - 1
                wanted = {"camera": event.camera, "from_seq": before + 1, "to_seq": event.seq - 1}
                rig.subscriber.command("replay", wanted)
            newest[event.camera] = event.seq
        if gap:
            until(lambda: rig.subscriber.count >= len(seen) + gap, 30)
        rig.quiet()
        rig.emitter.stop()
        kept = rig.books()
    return [
        Row(
            what="broker forgets what it acknowledged",
            goal="seq shows the gap, replay closes it",
            figure=f"{gap} missing, then {len(kept.missing)}",
            ok=gap > 0 and kept.balanced,
            note="mosquitto without autosave_on_changes, kill -9 while a durable subscriber is away",
        )
    ]
