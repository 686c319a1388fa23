"""The ClientAppIo protocol: between a SuperNode and hosts of its ClientApps.

Only with ``--isolation process``: a host (``flwr-clientapp``, ``flower-superexec``) runs the
ClientApps that the SuperNode would otherwise run in workers of its own. One call, like a node's
exchange: results up, work down.
"""

import msgspec

from flwr.transport.call import Access, Call
from flwr.transport.fleet import RENEW_SECONDS
from flwr.transport.parts import Body, Fab, Fault, Int64, RunQuestion, RunSheet, Scalars, Seconds


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that a ClientApp has handled."""

    job_id: str
    run_id: Int64
    meta: bytes = b""
    body: Body | None = None
    error: Fault | None = None
    state: Body | None = None  # the context's new state; none if the message left it alone
    seconds: Seconds = 0.0


class Take(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a host has done, works on, and can take."""

    instance: str
    done: list[Result] = []
    holding: list[str] = []  # ids of jobs
    runs: list[Int64] = []  # whose app it has loaded
    capacity: Int64 = 0
    wait: Seconds = RENEW_SECONDS


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message for a ClientApp, with the context to give it.

    A message that is offered again is another job: its SuperNode may have been restarted, and has
    not had what a host did of the first.
    """

    message_id: str
    run_id: Int64
    node_id: Int64
    meta: bytes
    body: Body
    node_config: Scalars = {}
    state: Body | None = None
    seed: int = 0
    job_id: str = ""


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Work, and what is wanted no more."""

    jobs: list[Job] = []
    accepted: list[str] = []  # ids of jobs, and so are the next
    dropped: list[str] = []
    ended_runs: list[Int64] = []
    retry_after: Seconds = 0.0


TAKE = Call("client", "take", Take, Taken, Access.CLIENT, "Bring results, and wait for work.")
RUN = Call("client", "run", RunQuestion, RunSheet, Access.CLIENT, "Describe a run.")
FAB = Call("client", "fab", RunQuestion, Fab, Access.CLIENT, "Fetch the app of a run.")

CALLS = (TAKE, RUN, FAB)
