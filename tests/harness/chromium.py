"""A page in headless Chromium, by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

import asyncio
import base64
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import websockets

from .server import ServerError

_PATIENCE = 60.0
_OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
    "--remote-debugging-port=0",
]  # fmt: skip
_KEYS = {
    "Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "ArrowDown": (40, ""), "ArrowUp": (38, ""), " ": (32, " "),
}  # fmt: skip


class Page:
    """One page, from its opening to its end. What it asks for and what goes wrong in it is kept.

    async with Page() as page:
        await page.open(url)
        await page.until("document.title", "the title")
    """

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        self._size = (width, height)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._session = ""
        self._answered: set[str] = set()
        self.requests: list[str] = []  # the URLs, WebSockets' too
        self.problems: list[str] = []  # exceptions, and what the page's policy kept it from

    async def __aenter__(self) -> Self:
        program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
        if program is None:
            raise ServerError("chromium-headless-shell is not installed: run tools/install")
        self._folder = Path(tempfile.mkdtemp(prefix="millrace-chromium-"))
        self._process = await asyncio.create_subprocess_exec(
            program, *_OPTIONS, f"--user-data-dir={self._folder}", "about:blank",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        port = self._folder / "DevToolsActivePort"
        await self._wait(lambda: port.exists() and port.read_text().count("\n") == 1, "Chromium")
        number, path = port.read_text().split("\n")
        self._socket = await websockets.connect(f"ws://127.0.0.1:{number}{path}", max_size=None)
        self._reader = asyncio.create_task(self._read())
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.send(f"{domain}.enable")
        await self.look(*self._size)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what was started is a script, which wouldn't tell the browser
        await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = len(self._answers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        await self._socket.send(json.dumps(message))
        answer = await asyncio.wait_for(self._answers[number], _PATIENCE)
        if "error" in answer:
            raise ServerError(f"{method}: {answer['error']}")
        return answer["result"]

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]].set_result(message)
                continue
            of = message["params"]
            match message["method"]:
                case "Network.requestWillBeSent":
                    self.requests.append(of["request"]["url"])
                case "Network.responseReceived" if of["response"]["status"] == 200:
                    self._answered.add(of["response"]["url"])
                case "Network.webSocketCreated":
                    self.requests.append(of["url"])
                case "Runtime.exceptionThrown":
                    details = of["exceptionDetails"]
                    self.problems.append(details.get("exception", {}).get("description") or details["text"])
                case "Log.entryAdded" if of["entry"]["source"] == "security":
                    self.problems.append(of["entry"]["text"])

    async def _wait(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not condition():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"no {what}; it has asked for {self.requests}") from None

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise ServerError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def until(self, expression: str, what: str) -> Any:
        """Waits until the expression's value is true, or an element; answers it."""
        expression = f"(value => value instanceof Node || value)({expression})"
        try:
            async with asyncio.timeout(_PATIENCE):
                while not (value := await self.ask(expression)):
                    await asyncio.sleep(0.03)
                return value
        except TimeoutError:
            text = await self.ask("document.body.innerText")
            raise AssertionError(f"no {what}; problems: {self.problems}; the page:\n{text}") from None

    async def until_answered(self, part: str) -> None:
        """Waits until an address with this in it has been answered with 200."""
        await self._wait(lambda: any(part in url for url in self._answered), f"answer to {part}")

    async def press(self, *keys: str) -> None:
        for key in keys:
            code, text = _KEYS[key]
            common = {"key": key, "windowsVirtualKeyCode": code}
            await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            await self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    async def look(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """How large its window is, and which colours whoever looks at it prefers."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, file: Path, *, whole: bool = False) -> None:
        taken = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(taken["data"]))


def strangers(requests: Iterable[str], origin: str) -> list[str]:
    """Those that go elsewhere."""
    own = (origin + "/", origin.replace("http", "ws", 1) + "/", "about:", "data:")
    return [url for url in requests if not url.startswith(own)]
