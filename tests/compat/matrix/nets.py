"""PyTorch models of the apps, and their training."""

import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 12)
        self.out = nn.Linear(12, 10)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))


class Normalised(nn.Module):
    """With batch normalisation: its state has more than its parameters."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 12)
        self.norm = nn.BatchNorm1d(12)
        self.out = nn.Linear(12, 10)

    def forward(self, x):
        return self.out(torch.relu(self.norm(self.hidden(x))))


def made(kind):
    """Return a model that is the same each time."""
    torch.manual_seed(42)
    return kind()


def train(model, data, optimizer=None, lr=0.1, epochs=2):
    """Train on all of the data at once, so that no order matters; return the last loss."""
    x, y = torch.tensor(data[0]), torch.tensor(data[1])
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=lr)
    model.train()
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


def test(model, data):
    """Return loss and accuracy."""
    x, y = torch.tensor(data[0]), torch.tensor(data[1])
    model.eval()
    with torch.no_grad():
        scores = model(x)
        loss = nn.functional.cross_entropy(scores, y)
    return loss.item(), (scores.argmax(1) == y).float().mean().item()
