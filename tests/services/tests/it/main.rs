//! Each server is started for real, suffers its faults and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use touchstone_test_services::{Exclusive, Kind, postgres_database};

/// One Redis command; `None` when there is no answer in time.
fn redis(server: &Exclusive, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(server.address()).ok()?;
    let patience = Some(Duration::from_millis(300));
    stream.set_read_timeout(patience).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[tokio::test]
async fn redis_suffers_every_fault_and_comes_back() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    assert_eq!(redis(&server, "SET a 1").unwrap(), "+OK\r\n");
    server.freeze().await;
    assert_eq!(redis(&server, "GET a"), None, "frozen, yet it answers");
    server.thaw().await;
    assert_eq!(redis(&server, "GET a").unwrap(), "$1\r\n1\r\n");
    server.wipe().await;
    assert_eq!(redis(&server, "GET a").unwrap(), "$-1\r\n");
    server.kill().await;
    assert!(TcpStream::connect(server.address()).is_err());
    server.restart().await;
    assert_eq!(redis(&server, "PING").unwrap(), "+PONG\r\n");
    let address = server.address();
    drop(server);
    assert!(TcpStream::connect(address).is_err(), "outlives its owner");
}

#[tokio::test]
async fn postgres_keeps_what_it_committed_over_a_kill_and_loses_it_by_a_wipe() {
    let Some(server) = Exclusive::postgres().await else {
        return;
    };
    let mut session = PgConnection::connect(server.url()).await.unwrap();
    sqlx::query("CREATE TABLE facts AS SELECT 7 AS fact")
        .execute(&mut session)
        .await
        .unwrap();
    server.kill().await;
    assert!(sqlx::query("SELECT 1").execute(&mut session).await.is_err());
    server.restart().await;
    let fact = async || {
        let mut session = PgConnection::connect(server.url()).await.unwrap();
        sqlx::query_scalar::<_, i32>("SELECT fact FROM facts")
            .fetch_one(&mut session)
            .await
    };
    assert_eq!(fact().await.unwrap(), 7);
    server.freeze().await;
    let frozen = tokio::time::timeout(
        Duration::from_millis(300),
        PgConnection::connect(server.url()),
    );
    assert!(frozen.await.is_err(), "frozen, yet it answers");
    server.thaw().await;
    assert_eq!(fact().await.unwrap(), 7);
    server.wipe().await;
    assert!(fact().await.is_err(), "wiped, yet the table is there");
}

#[tokio::test]
async fn each_test_gets_a_database_of_its_own() {
    let (Some(one), Some(other)) = (postgres_database().await, postgres_database().await) else {
        return;
    };
    assert_ne!(one, other);
    for url in [one, other] {
        let mut session = PgConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE same_name (a INT)")
            .execute(&mut session)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn kafka_comes_back_on_its_port() {
    let Some(server) = Exclusive::kafka().await else {
        return;
    };
    assert_eq!(server.kind(), Kind::Kafka);
    assert!(TcpStream::connect(server.address()).is_ok());
    server.kill().await;
    assert!(TcpStream::connect(server.address()).is_err());
    server.restart().await;
    assert!(TcpStream::connect(server.address()).is_ok());
}

#[tokio::test]
async fn a_small_disk_is_filled_and_drained() {
    let Some(server) = Exclusive::on_small_disk(Kind::Redis).await else {
        return;
    };
    assert_eq!(redis(&server, "SET a 1").unwrap(), "+OK\r\n");
    server.fill().await;
    // A snapshot has no room.
    let saved = redis(&server, "SAVE").unwrap();
    assert!(saved.starts_with("-ERR"), "{saved}");
    server.drain().await;
    assert_eq!(redis(&server, "SAVE").unwrap(), "+OK\r\n");
}
