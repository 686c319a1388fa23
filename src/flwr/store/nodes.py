"""The statements on nodes: semantic calls as functions of a connection, each may run twice."""

import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from flwr.errors import NodeNotFoundError
from flwr.store.compiled import Compiled
from flwr.store.hubrecords import NodeRow
from flwr.store.schema import nodes

_EPOCH = Compiled(select(nodes.c.epoch).where(nodes.c.node_id == bindparam("node")))


def hello(
    connection: Connection,
    secret_hash: str,
    instance: str,
    name: str,
    node_config: dict[str, Any],
    now: float,
) -> NodeRow:
    """Introduce a node's process."""
    told = {"name": name, "node_config": node_config}
    mine = nodes.c.secret_hash == secret_hash
    row = connection.execute(select(nodes).where(mine)).first()
    if row is None:
        connection.execute(
            insert(nodes).values(
                node_id=secrets.randbelow(2**63 - 1) + 1,
                secret_hash=secret_hash,
                instance=instance,
                epoch=1,
                created_at=now,
                online=0,
                **told,
            )
        )
    elif row.instance != instance:
        epoch = row.epoch + 1
        connection.execute(update(nodes).where(mine).values(instance=instance, epoch=epoch, **told))
    elif (row.name, row.node_config) != (name, node_config):
        connection.execute(update(nodes).where(mine).values(**told))
    return _node(connection.execute(select(nodes).where(mine)).one())


def select_by_secret(connection: Connection, secret_hash: str) -> NodeRow | None:
    """Return the node with a secret."""
    row = connection.execute(select(nodes).where(nodes.c.secret_hash == secret_hash)).first()
    return None if row is None else _node(row)


def select_all(connection: Connection) -> list[NodeRow]:
    """Return all nodes, by id."""
    return [_node(row) for row in connection.execute(select(nodes).order_by(nodes.c.node_id))]


def set_online(connection: Connection, node_ids: Sequence[int], at: float) -> None:
    """Note that nodes are there."""
    _set(connection, node_ids, online=1, online_since=at)


def set_offline(connection: Connection, node_ids: Sequence[int], at: float) -> None:
    """Note that nodes are gone."""
    _set(connection, node_ids, online=0, offline_since=at)


def delete_node(connection: Connection, node_id: int) -> None:
    """Delete a node."""
    if not connection.execute(delete(nodes).where(nodes.c.node_id == node_id)).rowcount:
        raise NodeNotFoundError(f"There is no node {node_id}.")


def epoch_of(driver: sqlite3.Connection, node_id: int) -> int | None:
    """Return the number of a node's newest process, or None if there is no such node."""
    row = _EPOCH(driver, node=node_id).fetchone()
    return None if row is None else int(row[0])


def _set(connection: Connection, node_ids: Sequence[int], *, online: int, **values: float) -> None:
    if node_ids:
        statement = (
            update(nodes)
            .where(nodes.c.node_id == bindparam("node"), nodes.c.online != online)
            .values(online=online, **values)
        )
        connection.execute(statement, [{"node": node_id} for node_id in node_ids])


def _node(row: Row[Any]) -> NodeRow:
    return NodeRow(
        node_id=row.node_id,
        epoch=row.epoch,
        name=row.name,
        node_config=row.node_config,
        online=bool(row.online),
        online_since=row.online_since,
        offline_since=row.offline_since,
        created_at=row.created_at,
    )
