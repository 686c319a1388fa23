"""``enable_tf_gpu_growth``, which apps call in their workers."""

import os
import sys


def enable_tf_gpu_growth() -> None:
    """Let TensorFlow take GPU memory as it needs it, in this process.

    It must be called before TensorFlow uses a GPU. Without TensorFlow nothing happens.
    """
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # read when TensorFlow is loaded
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        for device in tensorflow.config.list_physical_devices("GPU"):
            tensorflow.config.experimental.set_memory_growth(device, True)
