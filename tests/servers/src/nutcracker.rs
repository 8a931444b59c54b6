use std::net::SocketAddr;
use std::process::Command;

use telltail_testkit::{Process, debian_program};
use tokio::net::TcpStream;

use crate::folder::Folder;
use crate::port::free_port;
use crate::redis::ask;
use crate::unprivileged::spawn;

/// A twemproxy (`nutcracker`) in front of one Redis.
#[derive(Debug)]
pub struct Nutcracker {
    // Dropped first: a server shall not outlive its folder.
    _server: Process,
    address: SocketAddr,
    _folder: Folder,
}

impl Nutcracker {
    /// Starts one in front of `backend`, with a line of settings beside the defaults.
    pub async fn start(backend: SocketAddr, setting: &str) -> Self {
        let (folder, address, statistics) = (Folder::new(), free_port(), free_port());
        let configuration = format!(
            "pool:\n  listen: {address}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  {setting}\n  \
             servers:\n   - {backend}:1\n"
        );
        let configuration = folder.write("nutcracker.yml", &configuration);
        let mut command = Command::new(debian_program("nutcracker", "nutcracker"));
        // Without a file it logs to one that only its package's user may write.
        command.arg("--conf-file").arg(configuration).arg("--output").arg(folder.sub("log").join("nutcracker.log"));
        command.arg(format!("--stats-port={}", statistics.port()));
        let server = spawn(&command, folder.path().join("nutcracker.out"));
        server.until("it listens", async || TcpStream::connect(address).await.is_ok()).await;
        Self { _server: server, address, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and gives the first line of the answer.
    pub async fn ask(&self, request: &str) -> String {
        ask(self.address, request).await
    }
}
