"""Linear assignment (Jonker-Volgenant) on connected components: the pairs whose gains add up to the most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


def assign(gains: NDArray[np.float64]) -> tuple[Indices, Indices]:
    """Pair rows with columns so that the sum of their gains is the largest; none is paired twice.

    gains (N, M) float64, finite. Pairs with a gain of 0 or less are never made. Returns the rows and the columns of the
    pairs, rows ascending.
    """
    rows: list[int] = []
    columns: list[int] = []
    for some_rows, some_columns in _groups(gains > 0):
        is_pair = len(some_rows) == len(some_columns) == 1
        pairs = [(0, 0)] if is_pair else _pairs(gains[np.ix_(some_rows, some_columns)])
        rows += [some_rows[row] for row, _ in pairs]
        columns += [some_columns[column] for _, column in pairs]
    order = np.argsort(rows)
    return np.array(rows, dtype=np.intp)[order], np.array(columns, dtype=np.intp)[order]


def _groups(possible: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Rows and columns that hang together by possible pairs; most groups are one of each."""
    columns_of = [np.flatnonzero(row).tolist() for row in possible]
    rows_of = [np.flatnonzero(column).tolist() for column in possible.T]
    seen = [False] * len(columns_of)
    groups = []
    for first, wanted in enumerate(columns_of):
        if seen[first] or not wanted:
            continue
        seen[first] = True
        rows, columns, known = [first], [], set()
        for row in rows:  # grows while it is gone through
            for column in columns_of[row]:
                if column not in known:
                    known.add(column)
                    columns.append(column)
                    fresh = [other for other in rows_of[column] if not seen[other]]
                    rows += fresh
                    for other in fresh:
                        seen[other] = True
        groups.append((rows, columns))
    return groups


def _pairs(gains: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The same for one group, whose gains may be 0 or less where a pair is not possible."""
    if gains.shape[0] > gains.shape[1]:
        return [(row, column) for column, row in _pairs(gains.T)]
    wanted = np.maximum(gains, 0)
    columns = _shortest_augmenting_paths(wanted.max() - wanted)
    return [(row, int(column)) for row, column in enumerate(columns) if gains[row, column] > 0]


def _shortest_augmenting_paths(cost: NDArray[np.float64]) -> Indices:
    """The column of each row in the cheapest assignment of all rows; (N, M) with N <= M.

    D. F. Crouse, "On implementing 2D rectangular assignment algorithms", 2016.
    """
    count, width = cost.shape
    row_price, column_price = np.zeros(count), np.zeros(width)
    column_of, row_of = np.full(count, -1, dtype=np.intp), np.full(width, -1, dtype=np.intp)
    for start in range(count):
        distance, came_from = np.full(width, np.inf), np.full(width, -1, dtype=np.intp)
        done = np.zeros(width, dtype=np.bool_)
        row, reached, column = start, 0.0, -1
        visited = []
        while row >= 0:
            visited.append(row)
            through = reached + cost[row] - row_price[row] - column_price
            shorter = ~done & (through < distance)
            distance[shorter] = through[shorter]
            came_from[shorter] = row
            column = int(np.where(done, np.inf, distance).argmin())
            reached = float(distance[column])
            done[column] = True
            row = int(row_of[column])
        row_price[start] += reached
        for row in visited[1:]:
            row_price[row] += reached - distance[column_of[row]]
        column_price[done] += distance[done] - reached
        while column >= 0:
            row = int(came_from[column])
            row_of[column] = row
            column_of[row], column = column, int(column_of[row]) if row != start else -1
    return column_of
