"""Asks for each URL with one of Python's HTTP clients, and prints what came, a line of JSON each.

    clients.py urllib|requests|httpx|aiohttp|boto3 URL...

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


def boto3_get(url):
    """The object that a URL of BUCKET/KEY names, as S3 has it."""
    import urllib.parse

    import boto3
    from botocore.config import Config

    parts = urllib.parse.urlsplit(url)
    bucket, key = parts.path.lstrip("/").split("/", 1)
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    s3 = boto3.client(
        "s3",
        endpoint_url=f"{parts.scheme}://{parts.netloc}",
        region_name="us-east-1",
        aws_access_key_id="placeholder",
        aws_secret_access_key="placeholder",
        config=config,
    )
    reply = s3.get_object(Bucket=bucket, Key=key)
    return reply["ResponseMetadata"]["HTTPStatusCode"], reply["Body"].read().decode()


CLIENTS = {
    "urllib": urllib_get,
    "requests": requests_get,
    "httpx": httpx_get,
    "aiohttp": aiohttp_get,
    "boto3": boto3_get,
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
