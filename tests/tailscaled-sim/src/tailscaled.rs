//! The handle.

use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixListener;

use crate::connection::{Daemon, serve};
use crate::listener::Listener;
use crate::misbehaviour::Conduct;
use crate::socket_file::Socket;
use crate::{Call, Misbehaviour, Request, SocketFile, Tally, locked};

/// A simulated tailscaled. It lives as long as this handle; its methods change its state, and what they change holds from
/// the next request on.
#[derive(Debug)]
pub struct Tailscaled {
    pub(crate) daemon: Arc<Daemon>,
    listening: Listener<UnixListener>,
    socket: Socket,
}

/// Life and socket. They panic where the machine refuses a socket or a file, for then no test makes sense.
#[allow(clippy::missing_panics_doc, reason = "said for all of them")]
impl Tailscaled {
    /// Starts one at a socket in a temporary folder. Needs a Tokio runtime, as the other constructors do.
    #[must_use]
    pub fn start() -> Self {
        Self::absent().and_listening()
    }

    /// Starts one at a given path, whose folder must be there.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self::with(Socket::at(path)).and_listening()
    }

    /// Knows where it will listen, but was not started: there is no socket until [`Self::listen`].
    #[must_use]
    pub fn absent() -> Self {
        Self::with(Socket::temporary().unwrap_or_else(|error| panic!("no temporary folder: {error}")))
    }

    fn with(socket: Socket) -> Self {
        let daemon = Arc::new(Daemon::new());
        let serving = Arc::clone(&daemon);
        let listening =
            Listener::start(daemon.counter.clone(), move |stream, number| serve(Arc::clone(&serving), stream, number));
        Tailscaled { daemon, listening, socket }
    }

    fn and_listening(self) -> Self {
        self.listen();
        self
    }

    /// Where the socket is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.socket.path()
    }

    /// Starts or starts again, at a new inode; connections of before end.
    pub fn listen(&self) {
        self.listening.close();
        self.listening.kill_connections();
        self.listening.open(self.socket.listen().unwrap_or_else(|error| panic!("cannot listen: {error}")));
    }

    /// Ends in order: connections cut, socket removed.
    pub fn stop(&self) {
        self.replace_socket(SocketFile::Nothing);
    }

    /// Is killed: connections cut, and a socket left behind that refuses.
    pub fn crash(&self) {
        self.listening.close();
        self.listening.kill_connections();
    }

    /// Ends, and something else is at its path.
    pub fn replace_socket(&self, file: SocketFile) {
        self.crash();
        self.socket.place(file).unwrap_or_else(|error| panic!("cannot make {file:?}: {error}"));
    }

    /// Mode of the socket, say 0o600. It does not keep root out.
    pub fn set_socket_mode(&self, mode: u32) {
        self.socket.set_mode(mode).unwrap_or_else(|error| panic!("cannot change the mode: {error}"));
    }

    /// Cuts every connection, streams of dials as well.
    pub fn kill_connections(&self) {
        self.listening.kill_connections();
    }
}

/// What it is asked, and how it answers.
impl Tailscaled {
    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.daemon.requests).clone()
    }

    /// Requests for what is not simulated, or that are no requests. A test ends by seeing none of them.
    #[must_use]
    pub fn unexpected_requests(&self) -> Vec<String> {
        locked(&self.daemon.unexpected).clone()
    }

    /// Connections and requests so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.daemon.counter.now()
    }

    /// Waits until the tally is as wanted.
    pub async fn until(&self, wanted: impl FnMut(&Tally) -> bool) -> Tally {
        self.daemon.counter.until(wanted).await
    }

    /// Misbehaves at every call.
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        *locked(&self.daemon.conduct) = Conduct::everywhere(misbehaviour);
    }

    /// Misbehaves at one call.
    pub fn misbehave_at(&self, call: Call, misbehaviour: Misbehaviour) {
        locked(&self.daemon.conduct).at(call, misbehaviour);
    }

    /// Answers rightly again.
    pub fn behave(&self) {
        *locked(&self.daemon.conduct) = Conduct::default();
    }

    /// Splits bodies into chunks of this size; `None` is Go's way, one chunk if the body is larger than 2 kB.
    pub fn set_chunk_size(&self, size: Option<usize>) {
        *locked(&self.daemon.chunk) = size.map(|size| size.max(1));
    }
}
