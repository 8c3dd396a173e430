"""`bonafide detect`: send files to the gateway and show its verdicts."""
