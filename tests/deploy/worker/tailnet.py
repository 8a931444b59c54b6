"""How a worker reaches PostgreSQL and Valkey on the tailnet: through the proxy that TAILNET_PROXY names (userspace mode),
or directly where it is not set (TUN mode)."""

import os
import socket
from urllib.parse import urlsplit

import pg8000.dbapi
import psycopg
import redis
import socks

PROXY = os.environ.get("TAILNET_PROXY")  # socks5h://localhost:1055


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection. Names are resolved by the proxy, since only tailscaled knows them."""
    if not PROXY:
        return socket.create_connection((host, port), timeout)
    proxy = urlsplit(PROXY)
    return socks.create_connection(
        (host, port), timeout, proxy_type=socks.SOCKS5, proxy_addr=proxy.hostname, proxy_port=proxy.port, proxy_rdns=True
    )


def postgres(address: str, timeout: float = 3, *, user: str, database: str):
    """libpq, and with it psycopg, makes its own connections and knows no proxy; pg8000 takes a socket that stands already."""
    host, _, port = address.rpartition(":")
    if not PROXY:
        return psycopg.connect(host=host, port=port, user=user, dbname=database, connect_timeout=int(timeout))
    return pg8000.dbapi.connect(host=host, sock=connect(host, int(port), timeout), user=user, database=database)


class TailnetConnection(redis.Connection):
    """redis-py makes its connections with `_connect`."""

    def _connect(self) -> socket.socket:
        return connect(self.host, self.port, self.socket_connect_timeout)


def valkey(address: str, timeout: float = 3) -> redis.Redis:
    host, _, port = address.rpartition(":")
    pool = redis.ConnectionPool(
        connection_class=TailnetConnection, host=host, port=int(port),
        socket_connect_timeout=timeout, socket_timeout=timeout,
    )
    return redis.Redis(connection_pool=pool)
