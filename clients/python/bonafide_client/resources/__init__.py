"""The nouns of the API, each method written once for both clients."""
