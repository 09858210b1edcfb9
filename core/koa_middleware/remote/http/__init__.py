"""An archive that is reached over HTTP; the other side is `koa_middleware.server`."""
