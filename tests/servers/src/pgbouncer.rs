use std::net::SocketAddr;
use std::process::Command;

use telltail_testkit::{Process, Signal, debian_program};

use crate::folder::Folder;
use crate::port::free_port;
use crate::unprivileged::{openssl_certificate, spawn};

/// A PgBouncer in front of a PostgreSQL.
#[derive(Debug)]
pub struct PgBouncer {
    // Dropped first: a server shall not outlive its folder.
    server: Process,
    address: SocketAddr,
    _folder: Folder,
}

impl PgBouncer {
    /// Starts one in front of the PostgreSQL at `backend`, with settings beside the defaults. It knows the databases
    /// `trusted` and `scram`, which it reaches as the role `trusted`, and has a user of each name.
    pub async fn start(backend: SocketAddr, settings: &[&str]) -> Self {
        let (folder, address) = (Folder::new(), free_port());
        let (certificate, key) = (folder.path().join("server.crt"), folder.path().join("server.key"));
        openssl_certificate(&certificate, &key);
        let users = folder.write("users.txt", "\"scram\" \"x\"\n\"trusted\" \"\"\n");
        let to = format!("host={} port={} user=trusted dbname=trusted", backend.ip(), backend.port());
        let configuration = format!(
            "[databases]\ntrusted = {to}\nscram = {to}\n\
             [pgbouncer]\nlisten_addr={}\nlisten_port={}\nunix_socket_dir=\nauth_file={}\n\
             client_tls_cert_file={}\nclient_tls_key_file={}\n{}\n",
            address.ip(),
            address.port(),
            users.display(),
            certificate.display(),
            key.display(),
            settings.join("\n"),
        );
        let configuration = folder.write("pgbouncer.ini", &configuration);
        let mut command = Command::new(debian_program("pgbouncer", "pgbouncer"));
        let server = spawn(command.arg(configuration), folder.path().join("pgbouncer.log"));
        server.until_logged("process up").await;
        Self { server, address, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds every query and every new login until it is told to go on.
    pub async fn pause(&self) {
        self.server.signal(Signal::Usr1);
        self.server.until_logged("got SIGUSR1").await;
    }

    /// Stops it in order, and gives what it has logged in its life.
    pub async fn stop(&self) -> String {
        self.server.signal(Signal::Term);
        self.server.wait().await;
        self.server.log()
    }
}
