"""What one of them does: a worker with what it has in its hands, the sweep, whoever writes without a claim."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from prolight import commands
from prolight.adapters.memory_store import _Look
from prolight.ports import Swept
from prolight.sweeper import settle_overdue
from tests.chaos.model.desk import (
    Accepted,
    Asking,
    ClaimLost,
    Desk,
    IllegalMove,
    Store,
    drive,
    key_of,
    lock_of,
    plan_of,
)
from tests.chaos.model.state import DEADLINES, RUN, Cell, Op, Row, Scope, Slot, Worker, frozen, plain_entry

WORDS = ("resend", "adopt", "abandon")


class Worked(NamedTuple):
    """What a worker made of the record and of itself."""

    row: Row
    worker: Worker | None
    accepted: tuple[Accepted, ...] = ()
    broken: tuple[str, ...] = ()


@lru_cache(maxsize=400_000)
def work(row: Row, worker: Worker, act: str, tick: int, scope: Scope) -> Worked | None:
    """What `worker` does; None: it first has to ask the other side."""
    desk = Desk(row, worker, tick, scope)
    what, _, rest = act.partition(" ")
    try:
        after = _ACTS[what](desk, worker, rest)
    except (ClaimLost, IllegalMove):
        after = _lost(desk, worker)
    except Asking:
        return None
    except Exception as error:
        return Worked(row, worker, broken=(f"{act} broke: {error!r}",))
    return Worked(desk.store.row, after, tuple(desk.store.accepted))


def _lost(desk: Desk, worker: Worker) -> Worker | None:
    """Whatever is under way is dropped; answers that no commit confirmed are kept, if it lives that long."""
    if not desk.journal.unsaved:
        return None
    return worker._replace(ending="late", cells=())


def _go(desk: Desk, worker: Worker, rest: str) -> Worker | None:
    step, before = int(rest), len(desk.pen.slips)
    match desk.call(step):
        case "begun":
            entry = plain_entry(desk.journal._entries[key_of(step)])
            return desk.written(cells=cells_with(worker, step, Cell("ready", entry)))
        case "done":
            adopted = len(desk.pen.slips) - before > 1
            return desk.rested(*[Op("known", step)] * adopted, cells=cells_with(worker, step, Cell("done")))
        case _:
            return desk.written() if desk.store.accepted else desk.rested()


def _answer(desk: Desk, worker: Worker, rest: str) -> Worker:
    step = int(rest)
    return desk.rested(Op("settle", step, worker.cells[step].entry), cells=cells_with(worker, step, Cell("done")))


def _error(how: str) -> Callable[[Desk, Worker, str], Worker]:
    def act(desk: Desk, worker: Worker, rest: str) -> Worker:
        step = int(rest.rpartition(" ")[2])
        op = Op("record", step, worker.cells[step].entry, how)
        desk._replay(op)
        desk.after_error(step, how)
        return desk.rested(op, cells=cells_with(worker, step, Cell()))

    return act


def _ask(desk: Desk, worker: Worker, rest: str) -> Worker:
    step, found = rest.split()
    entry = plain_entry(desk.journal._entries[key_of(int(step))])
    op = Op("ask", int(step), entry, found)
    try:
        desk._replay(op)
    except Exception as unclear:
        desk.end(unclear)
        return desk.rested()
    return desk.rested(op)


def _flush(desk: Desk, worker: Worker, rest: str) -> Worker:
    try:
        drive(desk.pen.flush(None))
    except ClaimLost:
        return worker
    return desk.written()


def _conclude(desk: Desk, worker: Worker, rest: str) -> None:
    desk.conclude(rest)


def _interrupt(desk: Desk, worker: Worker, rest: str) -> Worker:
    """What was not sent yet is recorded so; of what was, nothing is known."""
    ops = [Op("record", n, cell.entry, "not sent") for n, cell in enumerate(worker.cells) if cell.phase == "ready"]
    desk.ending = "released"
    idle = tuple(cell if cell.phase == "done" else Cell() for cell in worker.cells)
    return desk.rested(*ops, cells=idle)


def _late(desk: Desk, worker: Worker, rest: str) -> None:
    for change, slip in desk.pen.slips:
        slip.error = ClaimLost(str(change))
    desk.keep_late()


_ACTS: dict[str, Callable[[Desk, Worker, str], Worker | None]] = {
    "go": _go,
    "answer": _answer,
    "unknown": _error("unknown"),
    "limited": _error("limited"),
    "not": _error("not sent"),
    "ask": _ask,
    "flush": _flush,
    "conclude": _conclude,
    "interrupt": _interrupt,
    "late": _late,
}


@lru_cache(maxsize=100_000)
def swept(row: Row, tick: int, scope: Scope) -> tuple[Row, str]:
    """What a sweep makes of a record that is due; and whether its time-out needs a decision."""
    store = Store(row, tick, scope)
    look = _Look(store._time(), [])
    store._look_at(store.record, look)
    found = "overdue" if look.overdue else "poisoned" if look.poisoned else ""
    return frozen(store.record), found


@lru_cache(maxsize=100_000)
def spoken(row: Row, slot: Slot, tick: int, scope: Scope) -> tuple[Row, tuple[Accepted, ...], tuple[str, ...]]:
    """Who holds no claim writes: on the snapshot that it read, and on another if it is told to read again."""
    what, _, name = slot.what.partition(" ")
    store = Store(row, tick, scope, slot=slot)
    plan = lock_of(plan_of(scope, name)).plan_hash
    person: dict[str, Any] = dict(by="ada", deadlines=DEADLINES)
    try:
        match what:
            case "overdue" | "poisoned":
                found = (
                    Swept(overdue=(RUN,))
                    if what == "overdue"
                    else Swept(poisoned=(RUN,), crashes_to_poison=scope.crashes)
                )
                drive(settle_overdue(store, found, DEADLINES))
            case "cancel":
                drive(commands.cancel(store, RUN, reason="", deadlines=DEADLINES))
            case "approve":
                drive(commands.approve(store, RUN, plan, **person))
            case "edit":
                drive(commands.approve(store, RUN, plan, edited=plan_of(scope, "B"), **person))
            case "reject":
                drive(commands.reject(store, RUN, comment="", **person))
            case "resend" | "adopt" | "abandon":
                result = {"artifact": None} if what == "adopt" else None
                drive(commands.review(store, RUN, what, comment="", result=result, **person))
    except IllegalMove:
        pass
    except Exception as error:
        return store.row, tuple(store.accepted), (f"{slot.what} broke: {error!r}",)
    return store.row, tuple(store.accepted), ()


def cells_with(worker: Worker, step: int, cell: Cell) -> tuple[Cell, ...]:
    return (*worker.cells[:step], cell, *worker.cells[step + 1 :])
