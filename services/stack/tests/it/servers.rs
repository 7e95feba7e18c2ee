//! What the binary says at its start about Redis, Kafka, Qdrant and ClickHouse.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::database::{mistakes, touchstone};

const SERVE: [&str; 4] = ["serve", "gateway", "vector", "analytics"];
const SECRET: &str = "9f8e7d6c5b4a39281706";

/// The one mistake that this environment makes.
fn mistake(environment: &[(&str, &str)]) -> String {
    let output = touchstone(&SERVE, environment);
    let mut told = mistakes(&output);
    assert_eq!(told.len(), 1, "{environment:?}: {told:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains(SECRET), "{text}");
    told.remove(0)
}

/// Reads a request and answers always the same; ends with the process.
fn stub(answer: &'static [u8]) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

/// An alert, as a server with TLS answers to who does not speak it.
const ALERT: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46];

#[tokio::test]
async fn every_mistake_about_redis_is_one_line() {
    let Some(redis) = touchstone_test_services::Exclusive::redis().await else {
        return;
    };
    let place = redis.address();
    let tls = stub(ALERT);
    for (url, expected) in [
        (
            format!("redis://:{SECRET}@{place}"),
            "refuses the user or the password",
        ),
        (format!("redis://{place}/99"), "has no database"),
        (format!("rediss://:{SECRET}@{place}"), "does it speak TLS"),
        (format!("redis://:{SECRET}@{tls}"), "does it want TLS"),
        (
            format!("redis://:{SECRET}@no-such-host.invalid:6379"),
            "cannot be found",
        ),
        (format!("redis://:{SECRET}@{place}?wait=1s"), "is no option"),
    ] {
        let told = mistake(&[("REDIS_URL", &url)]);
        assert!(told.contains(expected), "{url}: {told}");
        assert!(told.contains("REDIS_URL"), "{told}");
    }
    let mut line = TcpStream::connect(place).unwrap();
    let command = format!("CONFIG SET requirepass {SECRET}\r\n");
    line.write_all(command.as_bytes()).unwrap();
    let mut answer = [0; 5];
    line.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
    let told = mistake(&[("REDIS_URL", &format!("redis://{place}"))]);
    assert!(told.contains("asks for a password"), "{told}");
}

#[test]
fn every_mistake_about_kafka_qdrant_and_clickhouse_is_one_line() {
    let (tls, page) = (
        stub(ALERT),
        stub(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
    );
    let refusal = stub(
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 43\r\nconnection: close\r\n\r\n\
          Code: 516. DB::Exception: default: AUTHENTI",
    );
    let kafka = "does not answer as Kafka does";
    let qdrant = "does not answer as Qdrant does";
    let clickhouse = "does not answer as ClickHouse does";
    for (name, value, expected) in [
        (
            "KAFKA_BROKERS",
            "no-such-host.invalid:9092",
            "cannot be found",
        ),
        ("KAFKA_BROKERS", "here", "host:port"),
        ("KAFKA_BROKERS", &tls.to_string(), kafka),
        ("KAFKA_BROKERS", &page.to_string(), kafka),
        (
            "QDRANT_URL",
            "qdrant://no-such-host.invalid",
            "cannot be found",
        ),
        ("QDRANT_URL", "postgres://127.0.0.1:1", "qdrant://host:6334"),
        ("QDRANT_URL", &format!("qdrant://{tls}"), qdrant),
        ("QDRANT_URL", &format!("qdrant://{page}"), qdrant),
        (
            "CLICKHOUSE_URL",
            "http://no-such-host.invalid:8123",
            "cannot be found",
        ),
        ("CLICKHOUSE_URL", "postgres://127.0.0.1:1", "HTTP"),
        ("CLICKHOUSE_URL", &format!("http://{tls}"), clickhouse),
        ("CLICKHOUSE_URL", &format!("https://{page}"), clickhouse),
        (
            "CLICKHOUSE_URL",
            &format!("http://{refusal}"),
            "refuses the user or the password",
        ),
    ] {
        let keys = [
            (name, value),
            ("QDRANT_API_KEY", SECRET),
            ("CLICKHOUSE_PASSWORD", SECRET),
        ];
        let told = mistake(&keys);
        assert!(told.contains(expected), "{name}={value}: {told}");
        assert!(told.contains(name), "{told}");
    }
}

#[test]
fn mistakes_about_several_servers_are_told_together() {
    let tls = stub(ALERT);
    let output = touchstone(
        &SERVE,
        &[
            ("REDIS_URL", &format!("redis://:{SECRET}@{tls}")),
            ("KAFKA_BROKERS", &tls.to_string()),
            ("QDRANT_URL", &format!("qdrant://{tls}")),
            ("CLICKHOUSE_URL", &format!("http://{tls}")),
        ],
    );
    let told = mistakes(&output);
    for name in ["REDIS_URL", "KAFKA_BROKERS", "QDRANT_URL", "CLICKHOUSE_URL"] {
        let lines = told.iter().filter(|line| line.contains(name));
        assert_eq!(lines.count(), 1, "{name}: {told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
}
