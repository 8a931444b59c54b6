//! Clients that stall, or do not read.

use super::*;
use axum::routing::get;
use tokio::sync::Notify;

#[tokio::test]
async fn the_kubelet_is_answered_while_a_thousand_clients_stall_in_the_head() {
    in_time(async {
        let server = Server::ready(Limits { lifetime: FOREVER, ..Limits::DEFAULT });
        let mut crowd_of_halves = Vec::new();
        for _ in 0..crowd() {
            let mut stream = server.connect().await;
            stream.write_all(HALF).await.unwrap();
            crowd_of_halves.push(stream);
        }
        server.assert_kubelet_is_answered(50).await;
        assert!(server.evicted() >= crowd() - Limits::DEFAULT.connections, "{}", server.evicted());
    })
    .await;
}

#[tokio::test]
async fn the_kubelet_is_answered_while_clients_drip_and_reconnect() {
    in_time(async {
        let server = Server::ready(Limits::DEFAULT);
        let mut drippers = JoinSet::new();
        for _ in 0..100 {
            let address = server.address;
            drippers.spawn(async move {
                loop {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for byte in HALF.iter().cycle() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        if stream.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                    }
                }
            });
        }
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.assert_kubelet_is_answered(1).await;
        }
        assert!(server.evicted() > 0);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_stalling_connection_is_evicted_and_none_that_is_being_answered() {
    in_time(async {
        let respond = Arc::new(Notify::new());
        let wait = Arc::clone(&respond);
        let router = Router::new()
            .route("/slow", get(|| async move { wait.notified().await }))
            .route("/healthz", get(|| async { "ok" }));
        let server = Server::start(router, Limits { connections: 3, ..Limits::DEFAULT });
        let mut answered = server.connect().await;
        answered.write_all(b"GET /slow HTTP/1.1\r\n\r\n").await.unwrap();
        let mut oldest = server.connect().await;
        oldest.write_all(HALF).await.unwrap();
        let mut younger = server.connect().await;
        younger.write_all(HALF).await.unwrap();
        server.assert_kubelet_is_answered(1).await;
        let mut nothing = [0];
        assert!(matches!(oldest.read(&mut nothing).await, Ok(0) | Err(_)));
        assert_eq!(server.evicted(), 1);
        younger.write_all(b"x\r\n\r\n").await.unwrap();
        respond.notify_one();
        for mut spared in [answered, younger] {
            let mut text = String::new();
            spared.read_to_string(&mut text).await.unwrap();
            assert_eq!(status(&text), 200);
        }
    })
    .await;
}

const HUGE: usize = 64 * 1024 * 1024;

/// A server whose two connections are open to clients that do not read their answers.
async fn unread(lifetime: Duration) -> (Server, Vec<TcpStream>) {
    let router =
        Router::new().route("/huge", get(|| async { vec![b'x'; HUGE] })).route("/healthz", get(|| async { "ok" }));
    let server = Server::start(router, Limits { connections: 2, lifetime, bodies: u64::MAX });
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /huge HTTP/1.1\r\n\r\n").await.unwrap();
        stream.readable().await.unwrap();
        clients.push(stream);
    }
    (server, clients)
}

#[tokio::test]
async fn the_oldest_is_evicted_where_all_are_being_answered() {
    in_time(async {
        let (server, _clients) = unread(FOREVER).await;
        server.assert_kubelet_is_answered(1).await;
        assert_eq!(server.evicted(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_nobody_reads_is_bounded_and_the_newest_is_sent() {
    in_time(async {
        const PAGE: usize = 1024 * 1024;
        let router = Router::new().route("/page", get(|| async { vec![b'x'; PAGE] }));
        let bodies = 3 * PAGE as u64;
        let server = Server::start(router, Limits { lifetime: FOREVER, bodies, ..Limits::DEFAULT });
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut stream = server.connect().await;
            stream.write_all(b"GET /page HTTP/1.1\r\n\r\n").await.unwrap();
            stream.readable().await.unwrap();
            clients.push(stream);
        }
        while server.evicted() < 17 {
            tokio::task::yield_now().await;
        }
        let mut newest = Vec::new();
        clients.pop().unwrap().read_to_end(&mut newest).await.unwrap();
        assert!(newest.len() > PAGE, "{}", newest.len());
        assert_eq!(server.evicted(), 17);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_after_its_lifetime() {
    in_time(async {
        let lifetime = Duration::from_millis(300);
        let (_server, clients) = unread(lifetime).await;
        tokio::time::sleep(lifetime * 2).await;
        for mut stream in clients {
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received).await;
            assert!(received.len() < HUGE, "{}", received.len());
        }
    })
    .await;
}

#[tokio::test]
async fn a_silent_client_is_closed_after_its_lifetime() {
    in_time(async {
        let limits = Limits { lifetime: Duration::from_millis(100), ..Limits::DEFAULT };
        let server = Server::ready(limits);
        assert_eq!(server.exchange(b"").await, "");
        assert_eq!(server.exchange(HALF).await, "");
    })
    .await;
}

#[tokio::test]
async fn dropping_the_server_closes_every_connection() {
    in_time(async {
        let mut server = Server::ready(Limits { lifetime: FOREVER, ..Limits::DEFAULT });
        let mut stream = server.connect().await;
        stream.write_all(HALF).await.unwrap();
        server.assert_kubelet_is_answered(1).await;
        server.tasks.shutdown().await;
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
        assert!(TcpStream::connect(server.address).await.is_err());
    })
    .await;
}
