"""The models that the Bentos serve, as the gateway knows them by asking."""
