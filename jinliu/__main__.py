"""``python -m jinliu``."""

from jinliu.cli import main

if __name__ == "__main__":
    main()
