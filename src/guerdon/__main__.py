"""`python -m guerdon`."""

import sys

from guerdon.cli.main import main

sys.exit(main())
