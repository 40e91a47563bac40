"""Runs the code it is given line by line, and answers with what it gave or with the error it met."""

import errno
import json
import os
import socket
import sys
import threading
import time

# Whatever is dropped in silence ends here, and not with the test's patience.
socket.setdefaulttimeout(20)


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def connect(host, port, kind=socket.SOCK_STREAM):
    made = socket.socket(family(host), kind)
    made.connect((host, port))
    return made


def child(code):
    """What a forked child makes of it."""
    ours, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(its, answer(code).encode())
        os._exit(0)
    os.close(its)
    with os.fdopen(ours) as pipe:
        got = json.loads(pipe.read())
    os.waitpid(pid, 0)
    if "error" in got:
        raise OSError(getattr(errno, got["error"]), "in the child")
    return got["value"]


def answer(code):
    try:
        try:
            value = eval(compile(code, "code", "eval"), globals())
        except SyntaxError:
            value = exec(compile(code, "code", "exec"), globals())
        return json.dumps({"value": value})
    except TimeoutError:
        return json.dumps({"error": "TIMEOUT"})
    except OSError as error:
        return json.dumps({"error": errno.errorcode.get(error.errno, repr(error))})
    except Exception as error:
        return json.dumps({"mistake": repr(error)})


print(json.dumps({"value": "ready"}), flush=True)
for line in sys.stdin:
    print(answer(json.loads(line)), flush=True)
