"""The rules at work: arc consistency, beliefs of cells, and the exact best grid.

Everything here is about N cells numbered row by row and A letters numbered as in the alphabet; domains are
bool[N, A], scores float64[N, A] in nats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from structdiff.core.errors import GenerationError, Unsatisfiable
from structdiff.frontends.grid.grid import Grid
from structdiff.frontends.grid.rules import Cell, Machine

SCALE = 1e5
"""The search maximises whole numbers: scores are rounded to 1 / SCALE nats."""
WIDEST = 1e6
"""Scores further than this many nats below the best letter of the cell count as this far below."""


class Rules:
    """The rules of a grid, ready to use. Raises `Unsatisfiable` where no grid satisfies them and the givens.

    >>> from structdiff.frontends.grid.rules import AllDifferent, lines
    >>> grid = Grid.of("1.\\n..", "12", [AllDifferent(line) for line in lines(2, 2)])
    >>> Rules(grid).domains.sum(1).tolist()         # arc consistency alone fills this grid
    [1, 1, 1, 1]
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.N, self.A = grid.rows * grid.cols, len(grid.alphabet)
        self.machines: list[tuple[np.ndarray, Machine]] = []
        for rule in grid.rules:
            places = np.array([y * grid.cols + x for y, x in rule.cells])
            self.machines.append((places, rule.machine(grid.alphabet)))
        self._model: Any = None
        start = np.ones((self.N, self.A), bool)
        for (y, x), letter in grid.givens:
            start[y * grid.cols + x] = [letter == other for other in grid.alphabet]
        self.domains = self.consistent(start)
        if self.best(np.zeros((self.N, self.A))) is None:
            raise Unsatisfiable("no grid satisfies all the rules with these givens")

    def consistent(self, domains: np.ndarray) -> np.ndarray:
        """bool[N, A]: what generalised arc consistency on every rule leaves of ``domains``.

        A letter stays in a cell exactly if every single rule has an assignment from the domains that uses it.
        Raises `Unsatisfiable` naming the rule that empties a cell.
        """
        domains = domains.copy()
        changed = True
        while changed:
            changed = False
            for number, (places, machine) in enumerate(self.machines):
                support = marginals(machine, domains[places].astype(float)) > 0
                if not support.any(1).all():
                    rule = self.grid.rules[number]
                    raise Unsatisfiable(
                        f"the givens contradict rule {number} ({type(rule).__name__} over "
                        f"{', '.join(map(str, rule.cells[:6]))}{', ...' if len(rule.cells) > 6 else ''})"
                    )
                support &= domains[places]
                if (support != domains[places]).any():
                    domains[places] = support
                    changed = True
        return domains

    def beliefs(self, scores: np.ndarray, rounds: int = 3) -> np.ndarray:
        """float64[N, A]: the cells' distributions after ``rounds`` of belief propagation between cells and rules.

        Each rule's message is exact (forward and backward over its automaton); loops between rules make the result an
        approximation. Letters outside the arc-consistent domains have probability 0.
        """
        own = _normal(np.where(self.domains, np.exp(np.maximum(scores - scores.max(1, keepdims=True), -60)), 0.0))
        messages = [np.ones((len(places), self.A)) for places, _ in self.machines]
        belief = own
        for _ in range(rounds):
            fresh = []
            for (places, machine), message in zip(self.machines, messages, strict=True):
                others = _normal(belief[places] / np.maximum(message, 1e-30))
                told = marginals(machine, others) / np.maximum(others, 1e-30)
                told = np.maximum(_normal(np.where(self.domains[places], told, 0.0)), 1e-12)
                fresh.append(np.sqrt(told * message))  # damped by half
            messages = fresh
            logs = np.log(np.maximum(own, 1e-300))
            for (places, _), message in zip(self.machines, messages, strict=True):
                np.add.at(logs, places, np.log(message))
            belief = _normal(np.where(self.domains, np.exp(logs - logs.max(1, keepdims=True)), 0.0))
        return belief

    def best(self, scores: np.ndarray) -> np.ndarray | None:
        """int64[N]: the letters of the grid with the highest sum of scores that satisfies all rules; None without one.

        Exact up to the rounding of scores to 1 / SCALE nats.
        """
        cp_model = search()
        if self._model is None:
            self._model = self._build(cp_model)
        model, letters = self._model
        relative = np.maximum(scores - np.where(self.domains, scores, -np.inf).max(1, keepdims=True), -WIDEST)
        weights = np.rint(relative * SCALE).astype(np.int64)
        model.maximize(sum(int(weights[k, a]) * var for (k, a), var in letters.items()))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 0
        solver.parameters.relative_gap_limit = 0
        status = solver.solve(model)
        if status == cp_model.INFEASIBLE:
            return None
        if status != cp_model.OPTIMAL:
            raise GenerationError(f"the search for the best grid ended with {solver.status_name(status)}")
        out = np.zeros(self.N, np.int64)
        for (k, a), var in letters.items():
            if solver.value(var):
                out[k] = a
        return out

    def _build(self, cp_model: Any) -> tuple[Any, dict[tuple[int, int], Any]]:
        model = cp_model.CpModel()
        letters = {(int(k), int(a)): model.new_bool_var(f"{k}={a}") for k, a in np.argwhere(self.domains)}
        numbers = []
        for k in range(self.N):
            allowed = np.flatnonzero(self.domains[k]).tolist()
            number = model.new_int_var_from_domain(cp_model.Domain.from_values(allowed), f"cell {k}")
            model.add_exactly_one(letters[k, a] for a in allowed)
            model.add(number == sum(a * letters[k, a] for a in allowed))
            numbers.append(number)
        for places, machine in self.machines:
            cells = [numbers[k] for k in places]
            if machine.all_different:
                model.add_all_different(cells)
                continue
            bases = np.cumsum([0, *(len(table) for table in machine.next)])
            moves = [
                (int(bases[i] + s), int(a), int(bases[i + 1] + table[s, a]))
                for i, table in enumerate(machine.next)
                for s, a in np.argwhere(table >= 0)
            ]
            last = {t for _, _, t in moves if t >= bases[-1]}
            model.add_automaton(cells, 0, sorted(last), moves)
        return model, letters

    def solutions(self, limit: int = 2, givens: Mapping[Cell, str] | None = None) -> int:
        """How many grids satisfy the rules and these further givens, counted up to ``limit``."""
        cp_model = search()
        model, letters = self._build(cp_model)
        for (y, x), letter in (givens or {}).items():
            var = letters.get((y * self.grid.cols + x, self.grid.alphabet.index(letter)))
            if var is None:
                return 0
            model.add(var == 1)
        for count in range(limit):
            solver = cp_model.CpSolver()
            solver.parameters.num_workers = 1
            if solver.solve(model) == cp_model.INFEASIBLE:
                return count
            model.add_bool_or(var.negated() for var in letters.values() if solver.value(var))
        return limit


def search() -> Any:
    """The search engine (OR-Tools CP-SAT). Raises `GenerationError` where it is not installed."""
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise GenerationError("rules of grids need OR-Tools: pip install 'structdiff[puzzles]'") from None
    return cp_model


def marginals(machine: Machine, weights: np.ndarray) -> np.ndarray:
    """float64[n, A]: for each cell and letter, the weight of all assignments of the rule that use it, rows sum to 1.

    >>> from structdiff.frontends.grid.rules import AllDifferent
    >>> marginals(AllDifferent(((0, 0), (0, 1))).machine("12"), np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    n = len(machine.next)
    ahead = [np.ones(1)] * (n + 1)
    width = int(machine.next[-1].max(initial=-1)) + 1
    ahead[n] = np.ones(max(width, 1))
    for i in range(n - 1, -1, -1):
        table = machine.next[i]
        gain = np.where(table >= 0, ahead[i + 1][np.maximum(table, 0)], 0.0)
        ahead[i] = gain @ weights[i]
        if (top := ahead[i].max(initial=0.0)) > 0:
            ahead[i] = ahead[i] / top
    behind, out = np.ones(1), np.zeros_like(weights)
    for i in range(n):
        table = machine.next[i]
        valid = table >= 0
        flow = behind[:, None] * weights[i][None] * valid
        out[i] = (flow * np.where(valid, ahead[i + 1][np.maximum(table, 0)], 0.0)).sum(0)
        behind = np.zeros(len(ahead[i + 1]))
        np.add.at(behind, table[valid], flow[valid])
        if (top := behind.max(initial=0.0)) > 0:
            behind = behind / top
    return _normal(out)


def _normal(weights: np.ndarray) -> np.ndarray:
    total = weights.sum(-1, keepdims=True)
    shares: np.ndarray = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares
