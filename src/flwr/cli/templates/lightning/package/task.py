"""The model, training and testing, with PyTorch Lightning: nothing here is federated."""

import logging
import warnings

import lightning
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from $package.dataset import CLASSES, SOURCES

# A trainer is made for each round: its advice once is enough, and here it is not even that.
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning", message=".*does not have many workers")


class LitNet(lightning.LightningModule):
    """A small convolutional network for images of any size."""

    def __init__(self, channels):
        super().__init__()
        self.learning_rate = 0.0
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(4),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, CLASSES),
        )

    def forward(self, x):
        """Return the scores of each image's classes."""
        return self.layers(x)

    def training_step(self, batch, batch_idx):
        """Return the loss of a batch."""
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log("train-loss", loss, on_step=False, on_epoch=True)
        return loss

    def test_step(self, batch, batch_idx):
        """Note the loss and accuracy of a batch."""
        images, labels = batch
        scores = self(images)
        self.log("loss", functional.cross_entropy(scores, labels))
        self.log("accuracy", (scores.argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self):
        """Return the optimiser of a round."""
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate, momentum=0.9)


def new_model(config):
    """Return a network that is not yet trained."""
    return LitNet(channels=SOURCES[config["dataset"]].shape[-1])


def new_trainer(epochs=1):
    """Return a trainer that neither prints nor writes anything: the server does."""
    return lightning.Trainer(
        max_epochs=epochs,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def loader(x, y, *, batch_size, shuffle=False):
    """Return batches of images, channels first, and labels."""
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    return DataLoader(TensorDataset(images, torch.from_numpy(y)), batch_size, shuffle=shuffle)


def train(model, x, y, *, epochs, learning_rate, batch_size=32):
    """Train for some passes over the data; return the last one's mean loss."""
    model.learning_rate = learning_rate
    trainer = new_trainer(epochs)
    trainer.fit(model, loader(x, y, batch_size=batch_size, shuffle=True))
    return trainer.callback_metrics["train-loss"].item()


def test(model, x, y):
    """Return loss and accuracy."""
    [metrics] = new_trainer().test(model, loader(x, y, batch_size=256), verbose=False)
    return metrics["loss"], metrics["accuracy"]
