"""HTTP: endpoints, middleware, routes, uploads, problems."""
