"""Outside issuers: whose tokens are accepted here beside our own."""
