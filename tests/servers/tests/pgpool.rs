//! Pgpool-II: it knows GSSENCRequest, and answers it whatever is behind it.

use telltail_servers::{Pgpool, Postgres, Telltail, free_port};

#[tokio::test]
async fn a_pool_is_alive_with_tls_and_without() {
    let postgres = Postgres::start(&[]).await;
    for ssl in ["ssl=off", "ssl=on"] {
        let pool = Pgpool::start(postgres.address(), &[ssl]).await;
        let rows = [
            ("postgres://HERE?depth=tcp", "connected"),
            ("postgres://HERE", "answering"),
            ("postgres://trusted@HERE", "accepting"),
            ("postgres://trusted@HERE/nothing", "no_database"),
        ];
        Telltail::beside(pool.address()).sees(ssl, &rows).await;
    }
}

#[tokio::test]
async fn a_pool_hides_that_its_backend_is_dead_unless_a_user_is_named() {
    let pool = Pgpool::start(free_port(), &[]).await;
    let rows = [("postgres://HERE", "answering"), ("postgres://trusted@HERE", "protocol_rejected service")];
    Telltail::beside(pool.address()).sees("backend dead", &rows).await;
}
