"""Signed uploads: files that go straight to the object store, in one piece or in parts that can be resumed."""
