"""What can happen next: to each worker, to what it sent, to bells, to the clock; what people and the sweeper do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from prolight import lifecycle
from prolight.decisions import Queued
from prolight.lifecycle import STAGES, TERMINAL
from prolight.schemas import Critique, Stage, State, Turn, Verdict
from tests.chaos.model import laws
from tests.chaos.model.acts import WORDS, cells_with, spoken, swept, work
from tests.chaos.model.desk import (
    Accepted,
    begins,
    claimed,
    key_of,
    lock_of,
    plan_of,
)
from tests.chaos.model.state import (
    DEADLINES,
    START,
    Cell,
    Known,
    Request,
    Row,
    Scope,
    Slot,
    Worker,
    World,
    base_of,
    plain_document,
    plan_name,
)


class Move(NamedTuple):
    """One thing that happened. A fault or a person's word is none that progress may count on."""

    says: str
    world: World
    counted_on: bool = True
    broken: tuple[str, ...] = ()


def first_world(scope: Scope) -> World:
    run = begins(scope)
    decision = lifecycle.begun(run, now=START, deadlines=DEADLINES)
    if not scope.from_the_critic:
        plan = plan_of(scope, "A")
        lock = lock_of(plan)
        judged = Critique(verdict=Verdict.ACCEPT, plan_hash=lock.plan_hash)
        turns = (Turn(stage=Stage.EXECUTE, queued_at=START),)
        run = decision.run.evolve(state=State.EXECUTING, plan=plan, lock=lock, critique=judged, turns=turns)
        decision = replace(decision, run=run)
    stage = STAGES[decision.run.state]
    budget = Queued(stage, budget=lifecycle.stage_budget(decision.run, stage, DEADLINES)).budget
    assert budget
    row = Row(plain_document(decision.run.to_json()), (), stage_ms=round(budget.total_seconds() * 1000), ready=True)
    none = (0,) * len(scope.effects)
    judged_plans = frozenset() if scope.from_the_critic else frozenset({"A"})
    known = Known(none, none, (False,) * len(none), judged_plans)
    return World(row, (), (), (), 1, 0, scope.words, known)


@dataclass(frozen=True)
class Steps:
    """All moves from a world."""

    scope: Scope
    dispatch_in_time: bool = True
    """Guard: what was recorded more than a second ago is not sent (the journal's own look at the clock)."""
    sweep_rings: bool = True
    time_helps: bool = True
    """An end that a deadline brings is one that can be counted on."""

    def __call__(self, world: World) -> Iterator[Move]:
        for move in self._moves(world):
            yield move._replace(world=self._plain(move.world))

    def _plain(self, world: World) -> World:
        """A bell that finds nobody in the room is none, unless the scope counts them."""
        idle = self.scope.bells < 2 and not world.row.ready
        return world._replace(bells=0) if idle else world

    def _moves(self, world: World) -> Iterator[Move]:
        for worker in world.workers:
            yield from self._work(world, worker)
        yield from self._outside(world)
        yield from self._bells(world)
        yield from self._sweep(world)
        yield from self._people(world)
        yield from self._time(world)

    def _work(self, world: World, worker: Worker) -> Iterator[Move]:
        named = f"worker {worker.claim}"
        yield Move(f"{named} dies", _without(world, worker, None), False)
        if worker.ending == "late":
            yield self._does(world, worker, "late", f"{named} keeps the answers that came too late")
            return
        for step, cell in enumerate(worker.cells):
            yield from self._handle(world, worker, step, cell)
        if worker.ops:
            yield self._does(world, worker, "flush", f"{named} writes down what it learned")
        if not worker.busy:
            for how in self._endings(worker):
                yield self._does(world, worker, f"conclude {how}", f"{named} concludes: {how}")
        if worker.cells and not worker.ending and "interrupt" in self.scope.faults:
            yield self._does(world, worker, "interrupt", f"{named} is interrupted", counted_on=False)

    def _endings(self, worker: Worker) -> tuple[str, ...]:
        if worker.ending:
            return (worker.ending,)
        match worker.base.run.state:
            case State.PLANNING:
                return ("planned", "failed")
            case State.CRITIQUING:
                return ("judged accept", "judged reject")
            case _ if all(cell.phase == "done" for cell in worker.cells):
                return ("executed",)
            case _:
                return ()

    def _handle(self, world: World, worker: Worker, step: int, cell: Cell) -> Iterator[Move]:
        named = f"worker {worker.claim}: {key_of(step)}"
        mine = Request(step, worker.claim, harmless=self.scope.effects[step] == "pure")
        match cell.phase:
            case "look" if not worker.ending and self._needs_met(worker, step):
                yield from self._looks(world, worker, step, named)
            case "ready" if not (cell.late and self.dispatch_in_time):
                sent = worker._replace(cells=cells_with(worker, step, cell._replace(phase="sent")))
                net = tuple(sorted((*world.net, mine)))
                broken = laws.sent(world, worker, step, cell)
                yield Move(f"{named} is sent", _without(world, worker, sent)._replace(net=net), broken=broken)
                if "not sent" in self.scope.faults:
                    says = f"{named} finds no connection"
                    yield self._does(world, worker, f"not sent {step}", says, counted_on=False)
            case "ready":
                yield self._does(world, worker, f"not sent {step}", f"{named} is too late and is not sent")
            case "sent":
                yield from self._comes_back(world, worker, step, named)
            case _:
                pass

    def _comes_back(self, world: World, worker: Worker, step: int, named: str) -> Iterator[Move]:
        mine = Request(step, worker.claim, harmless=self.scope.effects[step] == "pure")
        if mine._replace(phase="applied") in world.net:
            done = self._does(world, worker, f"answer {step}", f"{named} is answered")
            yield done._replace(world=_net_without(done.world, mine._replace(phase="applied")))
        if mine in world.net and "limited" in self.scope.faults:
            limited = self._does(world, worker, f"limited {step}", f"{named} is refused: not now", counted_on=False)
            yield limited._replace(world=_net_without(limited.world, mine))
        lost = self._does(world, worker, f"unknown {step}", f"{named} gets no answer", counted_on=True)
        yield lost._replace(world=lost.world._replace(net=_disowned(world.net, worker.claim, step)))

    def _needs_met(self, worker: Worker, step: int) -> bool:
        return self.scope.together or all(cell.phase == "done" for cell in worker.cells[:step])

    def _looks(self, world: World, worker: Worker, step: int, named: str) -> Iterator[Move]:
        went = self._does(world, worker, f"go {step}", f"{named} is looked at, and recorded if it may be sent")
        if went.says.endswith("?"):
            applied = world.known.applied[step] > 0 and world.known.remembered[step]
            for found in ("done" if applied else "absent", "unclear"):
                says = f"{named} is asked for: {found}"
                yield self._does(world, worker, f"ask {step} {found}", says, counted_on=found != "unclear")
        else:
            yield went

    def _does(self, world: World, worker: Worker, act: str, says: str, *, counted_on: bool = True) -> Move:
        worked = work(world.row, worker, act, world.tick, self.scope)
        if worked is None:
            return Move(f"{says} ?", world, counted_on)
        after = _without(world, worker, worked.worker)
        if act == "interrupt" or worked.worker is None or worked.worker.ending == "late":
            after = after._replace(net=_disowned(after.net, worker.claim))
        move = self._written(after, worked.row, worked.accepted, says, counted_on, worker=worker)
        return move._replace(broken=move.broken + worked.broken)

    def _written(
        self,
        world: World,
        row: Row,
        accepted: tuple[Accepted, ...],
        says: str,
        counted_on: bool = True,
        *,
        worker: Worker | None = None,
        hashed: str = "",
    ) -> Move:
        """The record is another one now: whoever holds a snapshot is that far behind, and a bell may ring."""
        broken = list(laws.resting(row))
        known = world.known
        for one in accepted:
            known = laws.learned(known, one, worker, hashed, self.scope)
            broken += laws.of_write(one, worker, known, self.scope)
        versions = sum(one.versions for one in accepted)
        mine = worker.claim if worker else ""
        workers = tuple(sorted(w if w.claim == mine else w._replace(base=w.base.aged(versions)) for w in world.workers))
        slots = tuple(slot._replace(base=slot.base.aged(versions)) for slot in world.slots)
        bells = world.bells
        if row.ready and row != world.row and not bells:
            bells = 1
        moved = world._replace(row=row, workers=workers, slots=slots, bells=bells, known=known)
        return Move(says, moved, counted_on, tuple(broken))

    def _outside(self, world: World) -> Iterator[Move]:
        for request in dict.fromkeys(world.net):
            if request.phase == "out":
                after = _net_without(world, request)
                if request.owner:
                    after = after._replace(net=tuple(sorted((*after.net, request._replace(phase="applied")))))
                after = after._replace(known=laws.applied(world.known, request.step, self.scope))
                broken = laws.of_effect(after.known, request.step, self.scope)
                yield Move(
                    f"{key_of(request.step)} of {request.owner or 'nobody'} is carried out", after, broken=broken
                )

    def _bells(self, world: World) -> Iterator[Move]:
        if not world.bells:
            return
        fewer = world._replace(bells=world.bells - 1)
        yield Move("a bell is lost", fewer, False)
        if world.bells < self.scope.bells:
            yield Move("a bell is doubled", world._replace(bells=world.bells + 1), False)
        if len(world.workers) >= self.scope.workers:
            return
        name = next(name for name in "123456789" if not _is_named(world, name))
        row, worker = claimed(world.row, name, world.tick, self.scope)
        if worker is None:
            yield Move("a bell is heard in vain", fewer._replace(row=row))
        else:
            taken = fewer._replace(row=row, workers=tuple(sorted((*world.workers, worker))))
            yield Move(f"worker {name} claims {worker.base.run.state}", taken, broken=laws.granted(world.row, row))

    def _sweep(self, world: World) -> Iterator[Move]:
        if world.row.looked_after and not any(slot.what in ("overdue", "poisoned") for slot in world.slots):
            row, found = swept(world.row, world.tick, self.scope)
            slots = world.slots
            if found:
                slots = tuple(sorted((*slots, Slot(found, base_of(row)))))
            says = (
                f"the sweep {'takes the claim' if world.row.claim and not row.claim else 'looks'}{': ' * bool(found)}"
            )
            bells = world.bells or int(row.ready and self.sweep_rings)
            yield Move(says + found, world._replace(row=row, slots=slots, bells=bells))
        for slot in world.slots:
            rest = tuple(other for other in world.slots if other != slot)
            row, accepted, broken = spoken(world.row, slot, world.tick, self.scope)
            hashed = slot.what.removeprefix("approve ") if slot.what.startswith("approve ") else ""
            move = self._written(
                world._replace(slots=rest), row, accepted, f"is carried out: {slot.what}", hashed=hashed
            )
            yield move._replace(broken=move.broken + broken)

    def _people(self, world: World) -> Iterator[Move]:
        if (
            not world.words
            or len([s for s in world.slots if s.what not in ("overdue", "poisoned")]) >= self.scope.slots
        ):
            return
        for said in self.scope.said:
            if not _makes_sense(said, world.row):
                continue
            what = f"{said} {plan_name(world.row.run.plan)}" if said in ("approve", "edit") else said
            slot = Slot(what, base_of(world.row), world.tick if said in ("approve", "edit", *WORDS) else None)
            slots = tuple(sorted((*world.slots, slot)))
            yield Move(f"a person reads, and says: {what}", world._replace(slots=slots, words=world.words - 1), False)

    def _time(self, world: World) -> Iterator[Move]:
        if world.row.over or world.tick >= self.scope.words + 2:
            return
        workers = tuple(
            sorted(
                w._replace(cells=tuple(c._replace(late=True) if c.phase == "ready" else c for c in w.cells))
                for w in world.workers
            )
        )
        net = tuple(request for request in world.net if request.phase == "applied")
        known = world.known._replace(remembered=laws.after_a_tick(world.known, self.scope))
        later = world._replace(workers=workers, net=net, tick=world.tick + 1, known=known)
        yield Move("time passes", later, self.time_helps)


def _makes_sense(said: str, row: Row) -> bool:
    state = row.run.state
    if said == "cancel":
        return state not in TERMINAL and state is not State.CANCELLING
    return state is (State.NEEDS_REVIEW if said in WORDS else State.AWAITING_APPROVAL)


def _without(world: World, worker: Worker, instead: Worker | None) -> World:
    others = tuple(other for other in world.workers if other.claim != worker.claim)
    net = world.net if instead else _disowned(world.net, worker.claim)
    return world._replace(workers=tuple(sorted((*others, instead))) if instead else others, net=net)


def _disowned(net: tuple[Request, ...], claim: str, step: int | None = None) -> tuple[Request, ...]:
    """Nobody waits for these any more: what is out may still arrive, what was applied stays applied."""
    left = []
    for request in net:
        if request.owner != claim or (step is not None and request.step != step):
            left.append(request)
        elif request.phase == "out" and not request.harmless:
            left.append(request._replace(owner=""))
    return tuple(sorted(left))


def _net_without(world: World, request: Request) -> World:
    net = list(world.net)
    if request in net:
        net.remove(request)
    return world._replace(net=tuple(net))


def _is_named(world: World, name: str) -> bool:
    """Somebody still speaks of the claim of this name."""
    bases = [slot.base.claim for slot in world.slots]
    return name in (world.row.claim, *bases, *(worker.claim for worker in world.workers))
