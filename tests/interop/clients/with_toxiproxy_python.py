"""toxiproxy-python: tells `sse-bench proxy` at argv[1] what to do to the echo server at argv[2], and looks whether it happens."""
import socket
import sys
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

api_host, api_port = sys.argv[1].split(":")
upstream = sys.argv[2]
# As `sse-bench up` names a link: it has to be quoted in a path.
NAME = "n1->redis"


def echo(address, text=b"hello"):
    """What comes back until the connection or the text ends, and after how many milliseconds."""
    host, port = address.split(":")
    began = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(text)
        heard = b""
        while len(heard) < len(text) and (more := line.recv(64)):
            heard += more
    return heard, (time.monotonic() - began) * 1000


def refused(error, action):
    try:
        action()
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


server = Toxiproxy()
server.update_api_consumer(api_host, int(api_port))
assert server.running() and b"2." in server.version(), server.version()
proxy = server.create(upstream=upstream, name=NAME)
assert proxy.enabled and server.get_proxy(NAME).listen == proxy.listen
assert echo(proxy.listen)[0] == b"hello"
refused(ProxyExists, lambda: server.create(upstream=upstream, name=NAME))

proxy.add_toxic(type="latency", attributes={"latency": 200})
assert echo(proxy.listen)[1] >= 200
toxic = proxy.get_toxic("latency_downstream")
assert (toxic.type, toxic.toxicity, toxic.attributes["latency"]) == ("latency", 1.0, 200)
assert proxy.destroy_toxic("latency_downstream") and proxy.toxics() == {}
refused(NotFound, lambda: proxy.destroy_toxic("latency_downstream"))
refused(InvalidToxic, lambda: proxy.add_toxic(type="noise"))

proxy.add_toxic(type="limit_data", name="few", attributes={"bytes": 3})
assert echo(proxy.listen)[0] == b"hel"
assert server.reset() and echo(proxy.listen)[0] == b"hello"

with proxy.down():
    refused(ConnectionRefusedError, lambda: echo(proxy.listen))
assert echo(proxy.listen)[0] == b"hello"

second = server.populate([{"name": NAME, "upstream": upstream, "listen": proxy.listen}, {"name": "second", "upstream": upstream}])
assert [one.name for one in second] == ["second"] and echo(second[0].listen)[0] == b"hello"
server.destroy_all()
assert server.proxies() == {}
refused(ConnectionRefusedError, lambda: echo(proxy.listen))
print("all of it")
