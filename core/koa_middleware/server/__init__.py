"""The archive over HTTP, and its pages: ``koa-cal serve``; needs the extra ``server``."""
