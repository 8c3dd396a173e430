"""Jobs: media that are handed over, judged by workers, and told about when they are done."""
