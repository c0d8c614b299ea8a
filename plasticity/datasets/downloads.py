"""Downloads that a silent server holds up only for seconds."""

import http.client
import queue
import shutil
import threading
import urllib.request
from typing import BinaryIO

from plasticity.datasets.image_files import Unobtainable

SILENCE_SECONDS = 5.0  # longest silence of a mirror, in connecting and within an answer
ANSWER_SECONDS = 6.0  # longest wait for an answer to begin, over all addresses of a mirror


def download(url: str, target: BinaryIO | None = None) -> bytes:
    """The contents at a URL; empty if they are written to `target` instead. Raises Unobtainable."""
    # A name lookup has no time-out, and each address of a name has its own, so a thread bounds the total.
    answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=SILENCE_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
        if isinstance(answer, Exception):
            raise answer
        with answer:
            if target is None:
                return bytes(answer.read())
            shutil.copyfileobj(answer, target, 1 << 20)
            return b""
    except queue.Empty:
        raise Unobtainable(f"no answer within {ANSWER_SECONDS:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unobtainable(str(getattr(error, "reason", error))) from error
