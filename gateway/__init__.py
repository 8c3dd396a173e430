"""The gateway: accounts, API keys, limits, detections and their history, over HTTP."""
