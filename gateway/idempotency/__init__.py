"""A call that is sent again under the client's own name for it: done once, answered as often as it is asked for."""
