"""The model, training and testing, in PyTorch: nothing here is federated."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from quickstart_pytorch.dataset import CLASSES, SOURCES

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


class Net(nn.Module):
    """A small convolutional network for images of any size."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.pool = nn.AdaptiveMaxPool2d(4)
        self.fc = nn.Linear(32 * 4 * 4, CLASSES)

    def forward(self, x):
        """Return the scores of each image's classes."""
        x = torch.relu(self.conv1(x))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.fc(x.flatten(start_dim=1))


def new_model(config):
    """Return a network that is not yet trained."""
    return Net(channels=SOURCES[config["dataset"]].shape[-1])


def loader(x, y, *, batch_size, shuffle=False):
    """Return batches of images, channels first, and labels."""
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    return DataLoader(TensorDataset(images, torch.from_numpy(y)), batch_size, shuffle=shuffle)


def train(model, x, y, *, epochs, learning_rate, batch_size=32):
    """Train for some passes over the data; return the last one's mean loss."""
    model.to(DEVICE).train()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    loss_sum = 0.0
    for _ in range(epochs):
        loss_sum = 0.0
        for images, labels in loader(x, y, batch_size=batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(model(images.to(DEVICE)), labels.to(DEVICE))
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
    return loss_sum / len(x)


@torch.no_grad()
def test(model, x, y):
    """Return loss and accuracy."""
    model.to(DEVICE).eval()
    criterion = nn.CrossEntropyLoss(reduction="sum")
    loss, correct = 0.0, 0
    for images, labels in loader(x, y, batch_size=256):
        scores, target = model(images.to(DEVICE)), labels.to(DEVICE)
        loss += criterion(scores, target).item()
        correct += (scores.argmax(dim=1) == target).sum().item()
    return loss / len(x), correct / len(x)
