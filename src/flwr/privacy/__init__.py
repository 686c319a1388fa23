"""Pure maths of differential privacy: clipping, noise, calibration and accounting. No I/O."""
