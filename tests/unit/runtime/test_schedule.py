import numpy as np

from flwr.app import ArrayRecord, Error, Message, RecordDict
from flwr.app.error import ErrorCode
from flwr.runtime.schedule import Pace, TaskQueue
from flwr.runtime.tasks import Outgoing, Task


def task(node_id: int, values: int = 0, kind: str = "train") -> Task:
    content = RecordDict({"arrays": ArrayRecord([np.zeros(values)])} if values else {})
    made = Task(Message(content, node_id, kind), {}, 0, lambda *_: None)
    made.content = Outgoing(made.take_content(), {})
    return made


def queued(*tasks: Task) -> TaskQueue:
    queue = TaskQueue()
    for each in tasks:
        queue.add(each)
    return queue


def taken(queue: TaskQueue) -> list[Task]:
    tasks = []
    while queue.first() is not None:
        tasks.append(queue.take())
    return tasks


def test_tasks_go_in_order_and_those_of_one_node_one_at_a_time() -> None:
    first, other, second, third = task(1), task(2), task(1), task(1)
    queue = queued(first, other, second, third)
    assert taken(queue) == [first, other]
    queue.done(first)
    assert taken(queue) == [second]
    queue.done(second)
    assert taken(queue) == [third]
    for each in (third, other):
        queue.done(each)
    assert queue.unfinished == 0
    queue.add(again := task(1))
    assert taken(queue) == [again]


def test_a_task_that_is_put_back_goes_before_later_ones() -> None:
    first, other = task(1), task(2)
    queue = queued(first, other)
    assert queue.first() is first
    queue.put_back(queue.take())
    assert taken(queue) == [first, other]


def test_a_cancelled_task_is_done_without_being_taken() -> None:
    cancelled, next_of_node = task(1), task(1)
    queue = queued(cancelled, next_of_node)
    cancelled.cancelled = True
    assert queue.first() is next_of_node
    assert (len(queue), queue.unfinished) == (1, 1)


def test_only_messages_that_were_quick_and_small_are_quick() -> None:
    pace = Pace()
    assert not pace.is_quick(task(1))  # nothing is known yet
    pace.saw("train", 0.0001)
    assert pace.is_quick(task(1))
    assert not pace.is_quick(task(1, kind="query"))
    assert not pace.is_quick(task(1, values=1 << 20))
    pace.saw_need("train", 1 << 20)
    assert not pace.is_quick(task(1))
    pace.saw_reply("train", 0)
    assert pace.is_quick(task(1))
    pace.saw("train", 1.0)
    assert not pace.is_quick(task(1))


def test_a_reply_is_expected_to_be_as_large_as_what_was_sent_until_one_came() -> None:
    pace, large = Pace(), task(1, values=1 << 20)
    assert pace.expected_bytes(large) == 8 << 20
    pace.saw_need("train", 9 << 20)
    pace.saw_need("train", 7 << 20)
    assert pace.expected_bytes(large) == 9 << 20
    pace.saw_reply("train", 0)
    assert pace.expected_bytes(large) == 0


def test_quick_messages_go_in_batches_that_leave_a_share_to_free_workers() -> None:
    pace, quick = Pace(), task(1)
    assert pace.batch_size(quick, 1000, workers=2, free=0) == 1
    pace.saw("train", 0.00001)
    alone = pace.batch_size(quick, 1000, workers=2, free=0)
    assert 1 < alone <= 1000 // 2
    assert pace.batch_size(quick, 9, workers=3, free=2) == 3
    assert pace.batch_size(quick, 1, workers=2, free=1) == 1


def test_a_finished_task_answers_once_and_holds_nothing() -> None:
    answers: list[object] = []
    each = task(1, values=4)
    each.answer = lambda *given: answers.append(given[1:])
    error = Error(ErrorCode.CLIENT_APP_CRASHED, "gone")
    each.finish(error, 0.5)
    each.finish(error, 0.5)
    assert answers == [(error, 0.5)]
    assert each.content is None
