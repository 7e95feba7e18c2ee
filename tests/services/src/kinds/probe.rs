//! One question to a server, in its own language.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(2);

/// Sends bytes and returns the first that come back, at most 64.
pub fn ask(port: u16, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(question)?;
    let mut answer = vec![0; 64];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// Whether `GET path` is answered with 200.
pub fn get(port: u16, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    ask(port, request.as_bytes())
        .is_ok_and(|answer| String::from_utf8_lossy(&answer).contains(" 200 "))
}

/// Whether the other side speaks HTTP/2, as servers of gRPC do: its settings come first.
pub fn grpc(port: u16) -> bool {
    const SETTINGS: u8 = 4;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    ask(port, preface).is_ok_and(|answer| answer.get(3) == Some(&SETTINGS))
}
