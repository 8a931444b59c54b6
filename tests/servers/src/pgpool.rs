use std::net::SocketAddr;
use std::process::Command;

use telltail_testkit::{Process, debian_program};

use crate::folder::Folder;
use crate::port::free_port;
use crate::unprivileged::{openssl_certificate, spawn};

/// A Pgpool-II in front of one PostgreSQL, as a plain pool.
#[derive(Debug)]
pub struct Pgpool {
    // Dropped first: a server shall not outlive its folder.
    _server: Process,
    address: SocketAddr,
    _folder: Folder,
}

impl Pgpool {
    /// Starts one in front of the PostgreSQL at `backend`, with settings beside the defaults.
    pub async fn start(backend: SocketAddr, settings: &[&str]) -> Self {
        let (folder, address) = (Folder::new(), free_port());
        let place = folder.path().display().to_string();
        openssl_certificate(&folder.path().join("server.crt"), &folder.path().join("server.key"));
        let configuration = format!(
            "listen_addresses='{}'\nport={}\nbackend_hostname0='{}'\nbackend_port0={}\n\
             backend_clustering_mode='raw'\nfailover_on_backend_error=off\nnum_init_children=8\n\
             socket_dir='{place}'\npcp_socket_dir='{place}'\npcp_listen_addresses=''\nlogdir='{place}'\n\
             pid_file_name='{place}/pgpool.pid'\nssl_cert='{place}/server.crt'\nssl_key='{place}/server.key'\n{}\n",
            address.ip(),
            address.port(),
            backend.ip(),
            backend.port(),
            settings.join("\n"),
        );
        let configuration = folder.write("pgpool.conf", &configuration);
        let mut command = Command::new(debian_program("pgpool", "pgpool2"));
        command.arg("-n").arg("-f").arg(configuration);
        command.arg("-F").arg(folder.write("pcp.conf", "")).arg("-a").arg(folder.write("pool_hba.conf", ""));
        let server = spawn(&command, folder.path().join("pgpool.log"));
        server.until_logged("successfully started").await;
        Self { _server: server, address, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
