"""A reverse proxy as one writes it with FastAPI: one httpx client, bodies streamed through."""

import os
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

UPSTREAM = os.environ["UPSTREAM"]
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "te", "trailer", "transfer-encoding", "upgrade", "host",
}


@asynccontextmanager
async def lifespan(app: FastAPI):
    limits = httpx.Limits(max_connections=1024, max_keepalive_connections=1024)
    async with httpx.AsyncClient(base_url=UPSTREAM, limits=limits, timeout=60) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def passed(headers):
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


@app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def proxy(path: str, request: Request):
    client: httpx.AsyncClient = request.app.state.client
    body = request.stream() if request.method in ("POST", "PUT", "PATCH") else None
    url = httpx.URL(path="/" + path, query=request.url.query.encode())
    upstream = client.build_request(
        request.method, url, headers=passed(request.headers), content=body
    )
    response = await client.send(upstream, stream=True)

    async def frames():
        try:
            async for chunk in response.aiter_raw():
                yield chunk
        finally:
            await response.aclose()

    return StreamingResponse(
        frames(), status_code=response.status_code, headers=passed(response.headers)
    )
