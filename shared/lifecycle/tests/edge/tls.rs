use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use touchstone_lifecycle::Tls;

use crate::{SOON, Server, in_time, until_closed};

const NAME: &str = "gateway.example";

/// Writes a fresh certificate and its key, and returns a client that trusts it.
fn pair(folder: &Path) -> ClientConfig {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn load(folder: &Path) -> Result<Tls, touchstone_lifecycle::TlsError> {
    Tls::load(folder.join("cert.pem"), folder.join("key.pem"))
}

async fn connect(
    server: &Server,
    mut config: ClientConfig,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    in_time(connector.connect(name, server.connect().await)).await
}

#[tokio::test]
async fn both_protocols_are_spoken_over_tls() {
    let folder = TempDir::new().unwrap();
    let client = pair(folder.path());
    let tls = load(folder.path()).unwrap();
    let server = Server::start(|edge| edge.tls = Some(tls)).await;

    let mut stream = connect(&server, client.clone(), b"http/1.1").await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let stream = connect(&server, client, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let task = server.run(connection);
    let request = http::Request::get("https://x/").body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    assert!(in_time(response).await.unwrap().status().is_success());
    drop(sender);
    in_time(task).await.unwrap_err();
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_a_broken_one_to_none() {
    let folder = TempDir::new().unwrap();
    let old = pair(folder.path());
    let tls = load(folder.path()).unwrap();
    let server = Server::start(|edge| edge.tls = Some(tls.clone())).await;
    drop(connect(&server, old.clone(), b"http/1.1").await.unwrap());
    let new = pair(folder.path());
    tls.reload().unwrap();
    drop(connect(&server, new.clone(), b"http/1.1").await.unwrap());
    connect(&server, old, b"http/1.1").await.unwrap_err();
    std::fs::write(folder.path().join("cert.pem"), "nothing").unwrap();
    tls.reload().unwrap_err();
    drop(connect(&server, new, b"http/1.1").await.unwrap());
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_ends_the_connection() {
    let folder = TempDir::new().unwrap();
    pair(folder.path());
    let tls = load(folder.path()).unwrap();
    let server = Server::start(|edge| {
        edge.tls = Some(tls);
        edge.head_timeout = SOON;
    })
    .await;
    let mut silent = server.connect().await;
    assert_eq!(until_closed(&mut silent).await, "");
    // No encryption where it is asked for.
    let plain = server.exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
    assert_eq!((server.counted("handshake"), server.reached()), (2, 0));
    server.stop().await;
}

#[test]
fn mistakes_are_told_in_one_line_with_the_file() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    pair(folder.path());
    pair(other.path());
    let told = |certificate: &Path, key: &Path| {
        let error = Tls::load(certificate, key).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let missing = told(&folder.path().join("none.pem"), &key);
    assert!(
        missing.contains("certificate") && missing.contains("none.pem"),
        "{missing}"
    );
    let swapped = told(&key, &certificate);
    assert!(swapped.contains("key.pem"), "{swapped}");
    let foreign = told(&certificate, &other.path().join("key.pem"));
    assert!(
        foreign.contains("is not that of the certificate"),
        "{foreign}"
    );
}
