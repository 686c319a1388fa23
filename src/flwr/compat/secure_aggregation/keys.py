"""What the messages of secure aggregation call their stages and values."""

RECORD_KEY_STATE = "secaggplus_state"
RECORD_KEY_CONFIGS = "secaggplus_configs"


class Stage:
    """The stages of a round; not to be instantiated."""

    SETUP = "setup"
    SHARE_KEYS = "share_keys"
    COLLECT_MASKED_VECTORS = "collect_masked_vectors"
    UNMASK = "unmask"

    def __new__(cls) -> "Stage":
        """Refuse."""
        raise TypeError(f"{cls.__name__} cannot be instantiated.")

    @classmethod
    def all(cls) -> tuple[str, str, str, str]:
        """Return all stages, in order."""
        return cls.SETUP, cls.SHARE_KEYS, cls.COLLECT_MASKED_VECTORS, cls.UNMASK


class Key:
    """The names of values in records; not to be instantiated."""

    STAGE = "stage"
    SAMPLE_NUMBER = "sample_num"
    SHARE_NUMBER = "share_num"
    THRESHOLD = "threshold"
    CLIPPING_RANGE = "clipping_range"
    TARGET_RANGE = "target_range"
    MOD_RANGE = "mod_range"
    MAX_WEIGHT = "max_weight"
    PUBLIC_KEY_1 = "pk1"
    PUBLIC_KEY_2 = "pk2"
    DESTINATION_LIST = "dsts"
    CIPHERTEXT_LIST = "ctxts"
    SOURCE_LIST = "srcs"
    PARAMETERS = "params"
    MASKED_PARAMETERS = "masked_params"
    ACTIVE_NODE_ID_LIST = "active_nids"
    DEAD_NODE_ID_LIST = "dead_nids"
    NODE_ID_LIST = "nids"
    SHARE_LIST = "shares"

    def __new__(cls) -> "Key":
        """Refuse."""
        raise TypeError(f"{cls.__name__} cannot be instantiated.")
