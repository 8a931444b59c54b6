//! Requests that are malformed, too large or ambiguous.

use super::*;
use proptest::prelude::*;

#[tokio::test]
async fn other_protocols_get_an_error_or_nothing() {
    in_time(async {
        let server = Server::ready(Limits::DEFAULT);
        let tls: Vec<u8> = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 501]].concat();
        assert_eq!(server.status(&tls).await, 400);
        assert_eq!(server.status(b"SSH-2.0-OpenSSH_9.6\r\n").await, 400);
        assert_eq!(server.status(b"GET /healthz HTTP/3.0\r\n\r\n").await, 400);
        assert_eq!(server.status(b"\0\0\0\0\0\0\0\0").await, 400);
        assert_eq!(server.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await, "");
        server.assert_kubelet_is_answered(1).await;
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_client_can_read_why() {
    in_time(async {
        let server = Server::ready(Limits::DEFAULT);
        let header = format!("GET /healthz HTTP/1.1\r\nX-Filler: {}\r\n\r\n", "x".repeat(1024 * 1024));
        let headers = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
        let uri = format!("GET /healthz?{} HTTP/1.1\r\n\r\n", "x".repeat(64 * 1024));
        // hyper takes 100 header lines.
        let short = |n| format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(n));
        for head in [&header, &headers, &uri, &short(101)] {
            assert_eq!(server.status(head.as_bytes()).await, 431, "{head:.40}");
        }
        assert_eq!(server.status(short(100).as_bytes()).await, 200);
        let too_large = ConnectionEvent::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(*server.events.lock().unwrap(), [too_large; 4]);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_only_after_it_has_written_everything_gets_the_431() {
    in_time(async {
        let server = Server::ready(Limits { lifetime: FOREVER, ..Limits::DEFAULT });
        let mut stream = server.connect().await;
        for _ in 0..32 {
            stream.write_all(&[b'x'; 32 * 1024]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(status(&answer), 431);
    })
    .await;
}

#[tokio::test]
async fn a_body_is_refused_unread() {
    in_time(async {
        let server = Server::ready(Limits::DEFAULT);
        for head in [
            "GET /healthz HTTP/1.1\r\nContent-Length: 10\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789",
            "POST /metrics HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\nx",
            "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            "GET /nowhere HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            let answer = server.exchange(head.as_bytes()).await;
            assert_eq!(status(&answer), 413, "{head}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        }
        let endless = "5\r\nhello\r\n".repeat(50_000);
        let chunked = format!("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{endless}");
        assert_eq!(server.status(chunked.as_bytes()).await, 413);
        assert_eq!(server.status(b"GET /livez HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await, 200);
    })
    .await;
}

#[tokio::test]
async fn an_ambiguous_length_is_refused() {
    in_time(async {
        let server = Server::ready(Limits::DEFAULT);
        for (headers, expected) in [
            ("Content-Length: 5\r\nContent-Length: 6", 400),
            ("Content-Length: 5, 6", 400),
            ("Content-Length: +5", 400),
            ("Content-Length: 99999999999999999999", 400),
            ("Transfer-Encoding: gzip", 400),
            ("X-Folded: one\r\n two", 400),
            ("X-Name : space", 400),
            // hyper takes the transfer encoding and drops the length, as RFC 9112 allows; the body is refused.
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", 413),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5", 413),
            ("Content-Length: 5\r\nContent-Length: 5", 413),
        ] {
            let request = format!("GET /healthz HTTP/1.1\r\n{headers}\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
            let answer = server.exchange(request.as_bytes()).await;
            assert_eq!(status(&answer), expected, "{headers:?}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn pipelined_requests_get_one_answer_and_the_end() {
    in_time(async {
        let server = Server::ready(Limits::DEFAULT);
        let answer = server.exchange(&b"GET /livez HTTP/1.1\r\n\r\n".repeat(10_000)).await;
        assert_eq!(status(&answer), 200);
        assert_eq!(answer.matches("HTTP/1.1").count(), 1);
        let kept_alive = b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        assert!(server.exchange(kept_alive).await.contains("\r\nconnection: close\r\n"));
    })
    .await;
}

#[tokio::test]
async fn upgrades_are_ignored_and_head_has_no_body() {
    in_time(async {
        let server = Server::ready(Limits { lifetime: FOREVER * 2, ..Limits::DEFAULT });
        let upgrade = b"GET /livez HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(server.status(upgrade).await, 200);
        assert_eq!(server.status(b"CONNECT 10.0.0.1:22 HTTP/1.1\r\n\r\n").await, 405);
        let head = server.exchange(b"HEAD /livez HTTP/1.1\r\n\r\n").await;
        assert!(head.contains("\r\ncontent-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_half_closes_after_its_request_is_answered() {
    in_time(async {
        let server = Server::ready(Limits::DEFAULT);
        let mut stream = server.connect().await;
        stream.write_all(KUBELET).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(status(&answer), 200);
    })
    .await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn junk_gets_a_4xx_or_nothing(junk in prop::collection::vec(any::<u8>(), 1..3000), end in "(\r\n\r\n)?") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes = [&junk[..], end.as_bytes()].concat();
        let answer = runtime.block_on(async {
            let server = Server::ready(Limits { lifetime: Duration::from_secs(1), ..Limits::DEFAULT });
            let answer = tokio::time::timeout(FOREVER, server.exchange(&bytes)).await.unwrap();
            server.assert_kubelet_is_answered(1).await;
            answer
        });
        prop_assert!(answer.is_empty() || (400..500).contains(&status(&answer)), "{}", answer);
    }
}
