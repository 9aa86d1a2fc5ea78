"""`python -m quickstudy` is `quickstudy`."""

from quickstudy.cli import main

raise SystemExit(main())
