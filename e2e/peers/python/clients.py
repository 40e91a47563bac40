"""Asks for each URL with one of Python's HTTP clients, and prints what came, a line of JSON each.

    clients.py urllib|requests|httpx|aiohttp URL...

Then it keeps that until its standard input ends, so that its memory can be looked at.
"""

import asyncio
import json
import sys


def urllib_get(url):
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def requests_get(url):
    import requests

    reply = requests.get(url, timeout=20)
    return reply.status_code, reply.text


def httpx_get(url):
    import httpx

    with httpx.Client(http2=True, timeout=20) as client:
        reply = client.get(url)
        return reply.status_code, reply.text


def aiohttp_get(url):
    import aiohttp

    async def get():
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as reply:
                return reply.status, await reply.text()

    return asyncio.run(get())


CLIENTS = {
    "urllib": urllib_get,
    "requests": requests_get,
    "httpx": httpx_get,
    "aiohttp": aiohttp_get,
}

get = CLIENTS[sys.argv[1]]
kept = []
for url in sys.argv[2:]:
    try:
        status, body = get(url)
        kept.append(body)
        print(json.dumps({"url": url, "status": status, "body": body}), flush=True)
    except Exception as error:
        print(json.dumps({"url": url, "error": repr(error)}), flush=True)
print("done", flush=True)
sys.stdin.read()
print(len(kept))
