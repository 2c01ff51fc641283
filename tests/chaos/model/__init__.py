"""Every order in which things can happen to one run, up to a bound: a breadth-first search of the code's own functions.

    state.py    what the world is at one moment: small frozen values, without what no decision looks at
    desk.py     the code's own journal, writer, store and lifecycle, put before one such moment
    acts.py     what a worker, the sweep or a person does, as far as the record goes
    steps.py    what can happen next
    laws.py     what must hold (design §14)
    search.py   the search; a violation comes with the shortest way that leads to it
    guards.py   the code without one of its guards

Workers die, freeze and go on, bells are lost and doubled, answers are lost, leases end although their holder lives,
people answer late. Nothing is random. A worker is its claim: who lost one and goes on is the zombie, who has none is
ready to hear a bell.

Left out: several runs, the scripts (the contract suite holds them to the store in memory), answers to a commit that
are asked for twice, heartbeats (a lease may end at any time instead), back-off times (a sweep may end one at any
time), pauses and retry budgets of dependencies, redriven runs, the calls of Planner and Critic (they are billed calls
like any other), and a packet that leaves a frozen process after it last looked at its clock (design §5 names that
window).
"""
