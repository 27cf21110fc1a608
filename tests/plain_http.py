"""Requests of httpx2 without TLS: by default each loads the world's certificates, which takes longer than most answers."""

from functools import partial

import httpx2

get = partial(httpx2.get, verify=False)
post = partial(httpx2.post, verify=False)
delete = partial(httpx2.delete, verify=False)
request = partial(httpx2.request, verify=False)
Client = partial(httpx2.Client, verify=False)
AsyncClient = partial(httpx2.AsyncClient, verify=False)
