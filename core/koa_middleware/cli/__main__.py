"""``python -m koa_middleware.cli`` is ``koa-cal``."""

import sys

from . import main

sys.exit(main())
