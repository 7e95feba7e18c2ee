//! What opens the account is never shown: not in logs, answers, metrics, files or the configuration.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use touchstone_config::{Loader, Section};
use touchstone_telegram::Config;
use touchstone_telegram_simulator::Fault;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{DUROV, Scene, world};

const API_HASH: &str = "0123456789abcdef0f1e2d3c4b5a6978";

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Whether a part of the session's key, or another secret, is in a text.
fn shows(text: &str, session: &str, phone: &str) -> Option<String> {
    // The first letters are the version, the address and the port.
    let letters = session.as_bytes();
    let mut parts: Vec<String> = letters[16..]
        .windows(20)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    parts.extend([API_HASH.to_owned(), phone.to_owned()]);
    parts.into_iter().find(|part| text.contains(part))
}

#[tokio::test]
async fn what_opens_the_account_is_never_shown() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // One thread runs all of it.
    let guard = tracing::subscriber::set_default(subscriber);
    let scene = Scene::of(world(), |config| config.api_hash = API_HASH.into()).await;
    let session = scene.simulator.session().to_owned();
    let phone = scene.simulator.read(|world| world.users[0].phone.clone());
    let mut told = Vec::new();
    scene.join("durov").await;
    scene
        .client
        .post(&format!("/channels/{DUROV}/sync"), &json!({}))
        .await;
    for fault in [
        Fault::Reset,
        Fault::WrongSession,
        Fault::Flood { seconds: 700 },
        Fault::Error {
            code: 500,
            message: "INTERNAL".into(),
        },
        Fault::Error {
            code: 401,
            message: "SESSION_REVOKED".into(),
        },
    ] {
        scene.arm(fault, Some("contacts.resolveUsername"), 0, 2);
        told.push(scene.parse("novosti", 5).await.text());
    }
    for path in [
        "/health",
        "/metrics",
        "/files",
        "/channels/list",
        "/openapi.json",
    ] {
        told.push(scene.client.get(path).await.text());
    }
    for name in scene.files() {
        told.push(scene.client.get(&format!("/files/{name}")).await.text());
    }
    let mut config: Config = touchstone_config::defaults();
    config.session = session.as_str().into();
    config.api_hash = API_HASH.into();
    told.push(format!(
        "{config:?} {}",
        serde_json::to_string(&config).unwrap()
    ));
    // A session that is cut is refused at the start, and not repeated.
    let loader = Loader::new()
        .set("telegram.session", &session[..session.len() - 9])
        .set("telegram.api_hash", API_HASH);
    let refused = loader.section::<Config>().unwrap_err();
    assert_eq!(Config::NAME, "telegram");
    told.push(format!("{refused} {refused:?}"));
    drop(guard);
    told.push(String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned());
    assert!(
        told.last().unwrap().contains("telegram"),
        "something was logged"
    );
    for text in told {
        assert_eq!(shows(&text, &session, &phone), None, "{text}");
    }
    assert!(
        shows(&session, &session, &phone).is_some(),
        "it would be found"
    );
}
