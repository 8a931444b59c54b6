//! Binding the port.

use super::limits::{BACKLOG, SEND_BUFFER};
use crate::config::Listen;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

pub use crate::config::DEFAULT_PORT as PORT;

/// Listens where the configuration says. The default is every address of the pod, for the kubelet comes to the pod's own
/// address, whichever family that is.
pub fn bind(listen: Listen) -> io::Result<TcpListener> {
    match listen {
        Listen::At(address) => at(address),
        // A taken port is taken in both families: only a pod without IPv6 gets a second attempt.
        Listen::Default => match at((Ipv6Addr::UNSPECIFIED, PORT).into()) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => at((Ipv4Addr::UNSPECIFIED, PORT).into()),
            bound => bound,
        },
    }
}

fn at(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the connections of the process before.
    socket.set_reuseaddr(true)?;
    // What is accepted inherits it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_an_error_and_a_free_one_is_listened_on() {
        let first = bind(Listen::At("127.0.0.1:0".parse().unwrap())).unwrap();
        let taken = Listen::At(first.local_addr().unwrap());
        assert_eq!(bind(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(taken).unwrap();
    }

    #[tokio::test]
    async fn every_address_of_the_pod_means_both_families() {
        let listener = at("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    }
}
