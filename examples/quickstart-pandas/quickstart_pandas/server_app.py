"""What the server asks the clients, and what it makes of their answers."""

from flwr.app import Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp, artifacts_dir

from quickstart_pandas import task

app = ServerApp()


def ask(grid: Grid) -> list[RecordDict]:
    """Ask all clients, and return the answers of those that could."""
    questions = [
        Message(content=RecordDict(), dst_node_id=node_id, message_type=MessageType.QUERY)
        for node_id in grid.get_node_ids()
    ]
    replies = grid.send_and_receive(questions)
    return [reply.content for reply in replies if not reply.has_error()]


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask once, add up, print and save."""
    answers = [content["sums"] for content in ask(grid)]
    if not answers:
        raise RuntimeError("No client could answer")
    summary = task.summary(answers)
    print(f"From {len(answers)} clients:\n\n{summary.to_string()}\n")
    summary.to_csv(artifacts_dir() / "summary.csv")
