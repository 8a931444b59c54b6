//! `relay SOCKET PORT`: what connects to the Unix socket is connected to the port on the loopback. A socket's path is seen
//! from every network namespace, a port from its own alone.

use std::{
    env, io,
    net::{Shutdown, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(socket), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: relay SOCKET PORT"));
    };
    for client in UnixListener::bind(socket)?.incoming() {
        // A server that is not there yet is an end of the connection; who asks tries again.
        if let Ok(server) = TcpStream::connect(format!("127.0.0.1:{port}")) {
            join(&client?, &server)?;
        }
    }
    Ok(())
}

fn join(client: &UnixStream, server: &TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut from_client, &mut to_server));
    thread::spawn(move || {
        let copied = io::copy(&mut from_server, &mut to_client);
        to_client.shutdown(Shutdown::Both).and(copied)
    });
    Ok(())
}
