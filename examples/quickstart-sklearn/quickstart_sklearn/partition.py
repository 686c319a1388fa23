"""How examples are dealt to the clients."""

import numpy as np

FEWEST = 5  # examples of a client


def deal(labels, num_partitions, alpha, seed):
    """Deal examples: for each partition, the indices of its examples.

    Each label is spread over the partitions by a Dirichlet distribution: the smaller `alpha`, the
    more unequally.
    """
    rng = np.random.default_rng(seed)
    if num_partitions * FEWEST > len(labels):
        raise ValueError(f"{len(labels)} examples are not enough for {num_partitions} clients")
    parts = [[] for _ in range(num_partitions)]
    for label in np.unique(labels):
        of_label = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet([alpha] * num_partitions)
        cuts = (np.cumsum(shares)[:-1] * len(of_label)).astype(int)
        for part, indices in zip(parts, np.split(of_label, cuts), strict=True):
            part.extend(indices)
    for part in parts:
        while len(part) < FEWEST:
            part.append(max(parts, key=len).pop())
    return [rng.permutation(part).astype(int) for part in parts]
