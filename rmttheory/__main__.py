"""``python -m rmttheory``."""

from rmttheory.cli import main

if __name__ == "__main__":
    main()
