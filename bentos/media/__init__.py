"""From bytes to what a model takes: decoding, sampling and cropping, in child processes that may be killed."""
