"""`python -m scripts.demo`: build the demo models."""

from scripts.demo.build import main

# The processes that draw the data import this module too.
if __name__ == "__main__":
    main()
