"""The model, training and testing, with Hugging Face Transformers: nothing here is federated."""

from functools import cache

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from $package.dataset import shipped_reviews

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
PRETRAINED = "distilbert/distilbert-base-uncased"


@cache
def shipped_tokenizer():
    """Return a tokenizer of the words in the texts that come with the app."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"])
    tokenizer.train_from_iterator(shipped_reviews()[0], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


@cache
def pretrained_tokenizer():
    """Return DistilBERT's own tokenizer."""
    return AutoTokenizer.from_pretrained(PRETRAINED)


def new_model(config):
    """Return a small model that is not yet trained, or for IMDB the trained DistilBERT."""
    if config["dataset"] == "imdb":
        model = AutoModelForSequenceClassification.from_pretrained(PRETRAINED, num_labels=2)
    else:
        small = DistilBertConfig(
            vocab_size=len(shipped_tokenizer()), dim=32, hidden_dim=64, n_layers=1, n_heads=2
        )
        model = DistilBertForSequenceClassification(small)
    return model


def loader(model, x, y, *, batch_size, shuffle=False):
    """Return batches of tokens and labels, as the model takes them."""
    pretrained = model.config.vocab_size != len(shipped_tokenizer())
    tokenizer = pretrained_tokenizer() if pretrained else shipped_tokenizer()

    def as_tensors(examples):
        texts, labels = zip(*examples, strict=True)
        tokens = tokenizer(
            list(texts), padding=True, truncation=True, max_length=512, return_tensors="pt"
        )
        inputs = {name: tokens[name].to(DEVICE) for name in ("input_ids", "attention_mask")}
        return inputs | {"labels": torch.tensor(labels, device=DEVICE)}

    return DataLoader(list(zip(x, y, strict=True)), batch_size, shuffle, collate_fn=as_tensors)


def train(model, x, y, *, epochs, learning_rate, batch_size=8):
    """Train for some passes over the data; return the last one's mean loss."""
    model.to(DEVICE).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    loss_sum = 0.0
    for _ in range(epochs):
        loss_sum = 0.0
        for batch in loader(model, x, y, batch_size=batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(batch["labels"])
    return loss_sum / len(x)


@torch.no_grad()
def test(model, x, y):
    """Return loss and accuracy."""
    model.to(DEVICE).eval()
    loss, correct = 0.0, 0
    for batch in loader(model, x, y, batch_size=32):
        output, labels = model(**batch), batch["labels"]
        loss += output.loss.item() * len(labels)
        correct += (output.logits.argmax(dim=1) == labels).sum().item()
    return loss / len(x), correct / len(x)
