"""`DPFedAvgFixed`: the older differential privacy of the legacy API."""

import math
from dataclasses import replace
from logging import WARNING

import numpy as np

from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.parameters import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.strategy.fedavg import FitFailures, FitResults
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.strategy.updates import by_place
from flwr.compat.strategy.wrapper import Wrapper, with_config
from flwr.compat.typing import FitIns, Parameters, Scalar
from flwr.log import log, warn_deprecated_feature
from flwr.privacy.clipping import apply_change, blocks, is_floating
from flwr.privacy.noise import GaussianNoise
from flwr.privacy.settings import check_setting, not_negative, positive
from flwr.serverapp.exception import AggregationError

KEY_CLIP_NORM = "dpfedavg_clip_norm"
KEY_NOISE_STDDEV = "dpfedavg_noise_stddev"


class DPFedAvgFixed(Wrapper):
    """Noises the models of clients that clip their updates to a bound that stays. Deprecated.

    The clients, `DPFedAvgNumPyClient` for example, are sent the bound ``C`` as
    ``dpfedavg_clip_norm``. Each model is noised with a standard deviation of ``z C / sqrt(m)``,
    here or by its client, and counts the same: the mean of ``m`` has noise of ``z C / m``. A round
    with a failure changes nothing. New apps use
    :class:`DifferentialPrivacyClientSideFixedClipping`.

    Parameters
    ----------
    strategy : Strategy
        Aggregates the noised models; one that averages them.
    num_sampled_clients : int
        ``m``.
    clip_norm : float
        ``C``, above 0.
    noise_multiplier : float, default 1
        ``z``, not negative.
    server_side_noising : bool, default True
        With False, the clients noise: they are sent ``dpfedavg_noise_stddev``.

    Raises
    ------
    ValueError
        If a value is of a wrong type or out of range.

    Notes
    -----
    Arrays of integers or bools are not noised; they keep the values that were sent.
    """

    _feature = "`DPFedAvgFixed` wrapper"
    _title = "Strategy with DP with Fixed Clipping enabled."

    def __init__(
        self,
        strategy: Strategy,
        num_sampled_clients: int,
        clip_norm: float,
        noise_multiplier: float = 1,
        server_side_noising: bool = True,
    ) -> None:
        super().__init__(strategy)
        warn_deprecated_feature(self._feature)
        rule = "The number of sampled clients should be a positive value."
        check_setting("num_sampled_clients", num_sampled_clients, positive, rule)
        rule = "The clipping threshold should be a positive value."
        check_setting("clip_norm", clip_norm, positive, rule)
        rule = "The noise multiplier should be a non-negative value."
        check_setting("noise_multiplier", noise_multiplier, not_negative, rule)
        self.num_sampled_clients = num_sampled_clients
        self.clip_norm = clip_norm
        self.noise_multiplier = noise_multiplier
        self.server_side_noising = server_side_noising
        self._sent: Parameters | None = None

    def __repr__(self) -> str:
        return self._title

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Let the strategy say who trains, and send them the bound."""
        self._sent = parameters
        pairs = self.strategy.configure_fit(server_round, parameters, client_manager)
        return with_config(pairs, self._settings())

    def aggregate_fit(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Let the strategy aggregate the noised models, all of which count the same.

        Raises
        ------
        AggregationError
            If an array that is not noised is not in the model that was sent.
        """
        if failures or not results:
            return None, {}
        if len(results) != self.num_sampled_clients:
            log(
                WARNING,
                "aggregate_fit: there are %d results, but num_sampled_clients is %d, for which the "
                "noise is scaled.",
                len(results),
                self.num_sampled_clients,
            )
        private = [
            (client, replace(result, num_examples=1, parameters=self._noised(result.parameters)))
            for client, result in results
        ]
        return self.strategy.aggregate_fit(server_round, private, failures)

    @property
    def _stddev(self) -> float:
        """Of the noise on one client's model."""
        return float(self.noise_multiplier * self.clip_norm / math.sqrt(self.num_sampled_clients))

    def _settings(self) -> dict[str, Scalar]:
        """Return what clients are sent."""
        settings: dict[str, Scalar] = {KEY_CLIP_NORM: self.clip_norm}
        if not self.server_side_noising:
            settings[KEY_NOISE_STDDEV] = self._stddev
        return settings

    def _noised(self, parameters: Parameters) -> Parameters:
        """Return a client's model with noise, if that is added here."""
        if not self.server_side_noising or not self.noise_multiplier:
            return parameters
        noise, sent = GaussianNoise(self._stddev), None
        arrays = parameters_to_ndarrays(parameters)
        for place, array in enumerate(arrays):
            if is_floating(array.dtype):
                for (block,) in blocks(array):
                    change = np.zeros(block.shape)
                    noise.add_to(change)
                    apply_change(block, block, change)
                continue
            if sent is None:
                sent = {} if self._sent is None else by_place(self._sent)
            if str(place) not in sent:
                raise AggregationError(
                    f"Array {place} is of dtype {array.dtype} and cannot be noised; it would keep "
                    "the values that were sent, but there is no such array in the model that "
                    "`configure_fit` was given."
                )
            arrays[place] = sent[str(place)]
        return ndarrays_to_parameters(arrays)
