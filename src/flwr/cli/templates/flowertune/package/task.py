"""The model, training and testing, with Transformers and PEFT: nothing here is federated."""

import itertools

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ByT5Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
LONGEST = 256  # tokens of a text


def new_tokenizer(config):
    """Return the tokenizer of the model: for the tiny one, each byte is a token."""
    if config["model"] == "tiny":
        return ByT5Tokenizer()
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def new_model(config):
    """Return a language model with adapters that are not yet trained."""
    torch.manual_seed(config["seed"])  # the tiny model's weights are not sent: all draw the same
    if config["model"] == "tiny":
        small = LlamaConfig(
            vocab_size=len(new_tokenizer(config)),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LONGEST,
        )
        model = LlamaForCausalLM(small)
    else:
        model = AutoModelForCausalLM.from_pretrained(config["model"], dtype="auto")
    adapters = LoraConfig(
        r=config["lora-rank"],
        lora_alpha=config["lora-alpha"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, adapters)


def adapters_of(model):
    """Return the weights of the adapters: all that is sent."""
    return get_peft_model_state_dict(model)


def set_adapters(model, weights):
    """Put the weights of the adapters into a model."""
    set_peft_model_state_dict(model, weights)


def loader(texts, config, *, shuffle=False):
    """Return batches of tokens, as the model takes them."""
    tokenizer = new_tokenizer(config)

    def as_tensors(some):
        tokens = tokenizer(
            some, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
        ).to(DEVICE)
        labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)
        return {**tokens, "labels": labels}

    return DataLoader(texts, config["batch-size"], shuffle, collate_fn=as_tensors)


def train(model, texts, config, *, learning_rate):
    """Train the adapters for some steps; return the mean loss."""
    model.to(DEVICE).train()
    adapters = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(adapters, lr=learning_rate)
    batches = loader(texts, config, shuffle=True)
    endless = itertools.chain.from_iterable(itertools.repeat(batches))
    losses = []
    for batch in itertools.islice(endless, config["local-steps"]):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def test(model, texts, config):
    """Return the mean loss of the texts."""
    model.to(DEVICE).eval()
    losses = [model(**batch).loss.item() for batch in loader(texts, config)]
    return sum(losses) / len(losses)
