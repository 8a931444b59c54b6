use std::net::SocketAddr;
use std::process::Command;

use telltail_testkit::{Process, debian_program};
use tokio::net::TcpStream;

use crate::folder::Folder;
use crate::port::free_port;
use crate::unprivileged::spawn;

/// An HAProxy in tcp mode in front of one server.
#[derive(Debug)]
pub struct Haproxy {
    // Dropped first: a server shall not outlive its folder.
    _server: Process,
    address: SocketAddr,
    _folder: Folder,
}

impl Haproxy {
    /// Starts one in front of `backend`, with options of its `server` line, say `check`.
    pub async fn start(backend: SocketAddr, options: &str) -> Self {
        let (folder, address) = (Folder::new(), free_port());
        let configuration = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
             listen postgres\n bind {address}\n server one {backend} {options}\n"
        );
        let configuration = folder.write("haproxy.cfg", &configuration);
        let mut command = Command::new(debian_program("haproxy", "haproxy"));
        let server = spawn(command.arg("-db").arg("-f").arg(configuration), folder.path().join("haproxy.log"));
        server.until("it listens", async || TcpStream::connect(address).await.is_ok()).await;
        if options.contains("check") {
            server.until_logged("is DOWN").await;
        }
        Self { _server: server, address, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
