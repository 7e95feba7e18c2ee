//! What the binary does with the certificates that it is given.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, Version};
use serde_json::Value;

const NAME: &str = "gateway.example";

/// `touchstone serve gateway` on a free port, in this folder.
fn command(folder: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
    command
        .args(["--json", "serve", "gateway", "--set", "stack.admin_port=0"])
        .current_dir(folder)
        .env_clear()
        .env(
            "SERVICE_KEY",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978",
        )
        .env("GATEWAY_PORT", "0");
    for (name, value) in environment {
        command.env(name, value);
    }
    command
}

/// Writes a certificate and its key; the certificate.
fn pair(folder: &Path, name: &str) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), cert.pem()).unwrap();
    let key = signing_key.serialize_pem();
    std::fs::write(folder.join(format!("{name}.key")), key).unwrap();
    cert.pem()
}

/// A process that listens; killed when dropped.
struct Gateway {
    child: Child,
    url: String,
}

impl Gateway {
    fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = command(folder, environment);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let url = told["urls"]["gateway"].as_str().unwrap().to_owned();
        Self { child, url }
    }

    fn address(&self) -> SocketAddr {
        let (_, address) = self.url.split_once("://").unwrap();
        address.parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that trusts this certificate and nothing else.
fn client(certificate: &str, gateway: &Gateway) -> Client {
    let root = Certificate::from_pem(certificate.as_bytes()).unwrap();
    let client = Client::builder()
        .tls_certs_only([root])
        .resolve(NAME, gateway.address());
    client.build().unwrap()
}

#[tokio::test]
async fn with_a_certificate_the_gateway_speaks_https_and_http2() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, other) = (pair(folder.path(), "own"), pair(folder.path(), "other"));
    let files = [("TLS_CERT_FILE", "own.pem"), ("TLS_KEY_FILE", "own.key")];
    let gateway = Gateway::start(folder.path(), &files);
    assert!(gateway.url.starts_with("https://"), "{}", gateway.url);
    let url = format!("https://{NAME}:{}/live", gateway.address().port());

    let trusting = client(&certificate, &gateway);
    let answer = trusting.get(&url).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2, "not agreed on by ALPN");
    assert!(answer.status().is_success());

    let strange = client(&other, &gateway);
    strange.get(&url).send().await.unwrap_err();
    // Without encryption nobody is answered.
    let plain = url.replace("https", "http");
    trusting.get(plain).send().await.unwrap_err();
    let answer = trusting.get(&url).send().await.unwrap();
    assert!(answer.status().is_success());
    // What containers ask of themselves.
    let port = gateway.address().port().to_string();
    let mut health = Command::new(env!("CARGO_BIN_EXE_touchstone"));
    let health = health.args(["health", "--live", "gateway"]).env_clear();
    let health = health.current_dir(folder.path()).env("GATEWAY_PORT", port);
    let health = health.envs(files).output().unwrap();
    assert!(health.status.success(), "{health:?}");
}

#[test]
fn without_a_certificate_the_gateway_speaks_http() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    assert!(gateway.url.starts_with("http://"), "{}", gateway.url);
}

/// The mistakes that a start with these files tells.
fn mistakes(folder: &Path, certificate: &str, key: &str) -> Vec<String> {
    let files = [("TLS_CERT_FILE", certificate), ("TLS_KEY_FILE", key)];
    let files: Vec<_> = files
        .into_iter()
        .filter(|(_, file)| !file.is_empty())
        .collect();
    let output: Output = command(folder, &files).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        !text.contains("PRIVATE KEY") && !text.contains("panicked"),
        "{text}"
    );
    let lines = text.lines().filter(|line| line.contains("TLS_"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_mistake_in_a_certificate_is_one_line_with_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pair(folder, "own");
    pair(folder, "other");
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    std::fs::write(folder.join("words.pem"), "no certificate").unwrap();
    for (certificate, key, variable) in [
        ("missing.pem", "own.key", "TLS_CERT_FILE"),
        ("empty.pem", "own.key", "TLS_CERT_FILE"),
        ("words.pem", "own.key", "TLS_CERT_FILE"),
        ("own.pem", "missing.key", "TLS_KEY_FILE"),
        ("own.pem", "words.pem", "TLS_KEY_FILE"),
        ("own.pem", "other.key", "TLS_KEY_FILE"),
        ("own.key", "own.pem", "TLS_"),
        ("own.pem", "", "TLS_KEY_FILE"),
        ("", "own.key", "TLS_CERT_FILE"),
    ] {
        let told = mistakes(folder, certificate, key);
        assert_eq!(told.len(), 1, "{certificate}, {key}: {told:?}");
        assert!(told[0].contains(variable), "{certificate}, {key}: {told:?}");
    }
}
