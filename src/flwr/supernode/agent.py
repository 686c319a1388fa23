"""What a node sends next, and what an answer means: decisions without I/O.

A node keeps one exchange parked at the hub. When there is something to tell, it sends another
one, which ends the older. So two or three may be under way at a time, and answers may come in any
order: messages that are known are not begun again, whatever an older answer says.
"""

from dataclasses import dataclass, field

from flwr.transport.fleet import RENEW_SECONDS, Exchange, Exchanged, Reply, Work
from flwr.transport.parts import Body
from flwr.transport.retry import ceiling

MOST_UNDER_WAY = 3  # exchanges: one parked, one newer, and one whose connection hangs
_HURRY = 0.05  # seconds that a busy node waits for its reply before it parks without one
_UNSETTLED_PAUSE = 0.2  # seconds before a reply that the hub said nothing of is sent again
_REMEMBERED = 4096  # messages that are done with; an older answer may bring them once more


@dataclass(frozen=True, slots=True)
class Instruction:
    """A message that the hub has handed out."""

    work: Work
    body: Body

    @property
    def message_id(self) -> str:
        """Its id."""
        return self.work.message_id

    @property
    def run_id(self) -> int:
        """The run that it belongs to."""
        return self.work.run_id


@dataclass(frozen=True, slots=True)
class Sending:
    """An exchange to be sent, and the number it is known by."""

    number: int
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class News:
    """What an answer means for the node."""

    begin: list[Instruction] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)  # replies that are needed no more
    stop: list[str] = field(default_factory=list)  # messages whose reply nobody waits for
    ended_runs: list[int] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)  # sent, and not said to be there


class Agent:
    """What a node holds and has finished, and what the hub knows of it.

    Parameters
    ----------
    capacity : int
        How many messages it takes at once.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._epoch: int | None = None
        self._held: dict[str, int] = {}  # message id -> run: received, not finished
        self._spooled: set[str] = set()  # of these, those that a ClientApp has handled
        self._finished: dict[str, Reply] = {}  # to be sent
        self._runs: set[int] = set()  # of which the node keeps something
        self._done: dict[str, None] = {}  # the newest messages that are over
        self._facts = 0  # grows when there is something to tell
        self._under_way: dict[int, tuple[int, frozenset[str]]] = {}  # number: facts, replies
        self._numbers = 0
        self._busy_since = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._failing_since: float | None = None

    # -- what happens on the node

    def welcomed(self, epoch: int) -> None:
        """Note the epoch that the hub gave."""
        self._epoch = epoch
        self._facts += 1

    def unknown(self) -> None:
        """Note that the hub does not know the node: it must introduce itself."""
        self._epoch = None

    @property
    def must_introduce(self) -> bool:
        """Whether there is no epoch."""
        return self._epoch is None

    def restore(self, message_id: str, run_id: int) -> None:
        """Note a message whose reply was spooled when the node was last stopped."""
        self._held[message_id] = run_id
        self._spooled.add(message_id)
        self._runs.add(run_id)

    def keep(self, run_id: int) -> None:
        """Note that something is kept of a run."""
        self._runs.add(run_id)

    def spool(self, message_id: str) -> None:
        """Note a message that was handled; its reply is not finished: its objects travel."""
        if message_id in self._held:
            self._spooled.add(message_id)
            self._facts += 1

    def finish(self, reply: Reply) -> bool:
        """Note a reply that is safe on disk, and whose objects are at the hub.

        Returns
        -------
        bool
            False if nobody waits for it any more.
        """
        if not self._release(reply.message_id):
            return False
        self._finished[reply.message_id] = reply
        self._facts += 1
        return True

    def let_go(self, message_id: str) -> None:
        """Note that a message was given up: the hub may hand it out again."""
        if self._release(message_id):
            self._facts += 1

    def hold_back(self, message_id: str) -> Reply | None:
        """Do not send a reply any more until it is finished again, and return it."""
        reply = self._finished.pop(message_id, None)
        if reply is not None:
            self._held[message_id] = reply.run_id
            self._spooled.add(message_id)
        return reply

    def _release(self, message_id: str) -> bool:
        self._spooled.discard(message_id)
        return self._held.pop(message_id, None) is not None

    # -- what is sent

    def next_exchange(
        self, now: float, *, wait: float = RENEW_SECONDS, leaving: bool = False
    ) -> Sending | None:
        """Return what to send, if there is anything to send now.

        Parameters
        ----------
        now : float
            Seconds of a clock that never goes back.
        wait : float
            How long the hub may park it.
        leaving : bool
            Whether the node ends: it brings all it has finished, though some may be on its way
            (its goodbye must not be there before), and takes nothing.
        """
        if self._epoch is None:
            return None
        if not leaving and (now < self._not_before or self._says_all()):
            return None
        on_the_way = frozenset().union(*(replies for _, replies in self._under_way.values()))
        done = [r for key, r in self._finished.items() if leaving or key not in on_the_way]
        room = max(0, self._capacity - len(self._held) + len(self._spooled))
        if leaving:
            room, wait = 0, 0.0
        elif not done and not room and now < self._busy_since + _HURRY:
            return None
        self._numbers += 1
        self._under_way[self._numbers] = self._facts, frozenset(r.message_id for r in done)
        return Sending(
            self._numbers,
            Exchange(
                epoch=self._epoch,
                done=done,
                holding=list(self._held),
                runs=sorted(self._runs),
                capacity=room,
                wait=wait,
            ),
        )

    @property
    def look_again(self) -> float | None:
        """When `next_exchange` may have something though nothing has happened meanwhile."""
        if self._epoch is None or self._says_all():
            return None
        return max(self._not_before, self._busy_since + _HURRY)

    def _says_all(self) -> bool:
        """Whether what is under way tells the hub all there is, or there are too many."""
        if len(self._under_way) >= MOST_UNDER_WAY:
            return True
        return any(facts == self._facts for facts, _ in self._under_way.values())

    @property
    def settled(self) -> bool:
        """Whether all that was finished has been sent, and acknowledged."""
        return not self._finished

    # -- what comes back

    def answered(self, sending: Sending, answer: Exchanged, now: float) -> News:
        """Take the answer to an exchange."""
        self._under_way.pop(sending.number, None)
        self._failures, self._failing_since = 0, None
        if answer.retry_after > 0:
            self._not_before = now + answer.retry_after
        news = News()
        for message_id in answer.accepted:
            if self._finished.pop(message_id, None) is not None:
                news.settled.append(message_id)
                self._remember(message_id)
        for message_id in answer.dropped:
            self._drop(message_id, news)
        for run_id in answer.ended_runs:
            self._end_run(run_id, news)
        for reply in sending.exchange.done:
            if reply.message_id in self._finished:
                news.unsettled.append(reply.message_id)
        if news.unsettled:
            self._not_before = max(self._not_before, now + _UNSETTLED_PAUSE)
        self._begin(answer, news)
        if news.begin:
            self._busy_since = now
        return news

    def _begin(self, answer: Exchanged, news: News) -> None:
        for work in answer.work:
            known = self._held, self._finished, self._done
            if not any(work.message_id in ids for ids in known):
                self._held[work.message_id] = work.run_id
                self._runs.add(work.run_id)
                news.begin.append(Instruction(work, answer.bodies[work.body]))

    def _drop(self, message_id: str, news: News) -> None:
        if self._finished.pop(message_id, None) is not None:
            news.settled.append(message_id)
        elif message_id in self._spooled:
            self._release(message_id)
            news.settled.append(message_id)
        elif self._release(message_id):
            news.stop.append(message_id)
        else:
            return
        self._remember(message_id)
        self._facts += 1

    def _end_run(self, run_id: int, news: News) -> None:
        if run_id not in self._runs:
            return
        self._runs.discard(run_id)
        news.ended_runs.append(run_id)
        for message_id in [key for key, its_run in self._held.items() if its_run == run_id]:
            self._drop(message_id, news)
        for message_id in [key for key, r in self._finished.items() if r.run_id == run_id]:
            self._drop(message_id, news)
        self._facts += 1

    def _remember(self, message_id: str) -> None:
        self._done[message_id] = None
        while len(self._done) > _REMEMBERED:
            del self._done[next(iter(self._done))]

    # -- when the hub does not answer

    def failed(self, sending: Sending | None, now: float, chance: float) -> None:
        """Note that the hub could not be reached, and when to try again.

        Parameters
        ----------
        sending : Sending, optional
            What was not sent; ``None`` for an introduction.
        now : float
            As for `next_exchange`.
        chance : float
            A random number between 0 and 1, so that nodes do not come back all at once.
        """
        if sending is not None:
            self._under_way.pop(sending.number, None)
        if self._failing_since is None:
            self._failing_since = now
        if now < self._not_before:
            return  # another exchange has failed with this one
        pause = ceiling(self._failures, now - self._failing_since)
        self._failures += 1
        self._not_before = now + chance * pause

    @property
    def introduce_at(self) -> float:
        """When to introduce the node, if it must."""
        return self._not_before

    @property
    def failures(self) -> int:
        """How often in a row the hub could not be reached."""
        return self._failures

    def failing_for(self, now: float) -> float:
        """Seconds since which the hub has not been reached; 0 if it was, last time."""
        return 0.0 if self._failing_since is None else now - self._failing_since
