"""From an HTTP request to a call that a detector answers: token, options, body or reference, hang-ups, errors."""
