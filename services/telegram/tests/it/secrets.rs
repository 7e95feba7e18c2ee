//! What opens the account is never shown: not in logs, answers, metrics, files or the configuration.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::json;
use touchstone_config::{Loader, Section};
use touchstone_telegram::Config;
use touchstone_telegram_simulator::{Fault, PostRequest, Scenario};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{DUROV, Scene, two_data_centres};

const API_HASH: &str = "0123456789abcdef0f1e2d3c4b5a6978";
const PROXY_SECRET: &str = "fedcba98765432100123456789abcdef";

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

/// The key of a session.
fn key_of(session: &str) -> Vec<u8> {
    URL_SAFE.decode(&session[1..]).unwrap().split_off(7)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether a part of the session's key, or another secret, is in a text.
fn shows(text: &str, session: &str, phone: &str) -> Option<String> {
    // The first letters are the version, the address and the port.
    let letters = session.as_bytes();
    let mut parts: Vec<String> = letters[16..]
        .windows(20)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    parts.extend([API_HASH, PROXY_SECRET, phone].map(str::to_owned));
    parts.into_iter().find(|part| text.contains(part))
}

/// Nothing that opens the account is in what is kept, neither as text nor as bytes.
fn is_not_kept(scene: &Scene, sessions: [&str; 2], phone: &str) {
    let mut kept = 0;
    for file in std::fs::read_dir(scene.folder.path()).unwrap() {
        let file = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&file) else {
            continue;
        };
        let file = file.display();
        kept += usize::from(holds(&bytes, b"data_centre"));
        for secret in sessions {
            let key = key_of(secret);
            assert!(!key.chunks(16).any(|part| holds(&bytes, part)), "{file}");
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(shows(&text, secret, phone), None, "{file}");
        }
    }
    assert!(kept > 0, "the store was looked at");
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
    let scenario = Scenario {
        proxy_secret: Some(PROXY_SECRET.into()),
        ..two_data_centres()
    };
    let scene = Scene::of(scenario, |config| config.api_hash = API_HASH.into()).await;
    let proxy = format!("mtproxy://dd{PROXY_SECRET}@{}", scene.simulator.address());
    let scene = scene
        .reconfigured(|config| config.proxy = proxy.into())
        .await;
    let session = scene.simulator.session().to_owned();
    let elsewhere = scene.simulator.session_elsewhere(4).unwrap();
    let phone = scene.simulator.read(|world| world.users[0].phone.clone());
    let mut told = Vec::new();
    scene.join("durov").await;
    scene
        .client
        .post(&format!("/channels/{DUROV}/sync"), &json!({}))
        .await;
    // Of two numbers that follow each other one is at the other data centre.
    for _ in 0..2 {
        let photograph = PostRequest {
            photo: Some(5_000),
            ..PostRequest::text("seen")
        };
        let number = scene.simulator.post(DUROV, photograph).unwrap();
        let media = scene.client.get(&format!("/media/{DUROV}/{number}")).await;
        assert_eq!(media.status, 200, "{}", media.text());
    }
    assert_eq!(scene.calls_at(4, "auth.importAuthorization"), ["ok"]);
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
        assert_eq!(shows(&text, &elsewhere, &phone), None, "{text}");
    }
    assert!(
        shows(&session, &session, &phone).is_some(),
        "it would be found"
    );
    is_not_kept(&scene, [&session, &elsewhere], &phone);
}

#[tokio::test]
async fn a_broken_session_is_refused_at_the_start_without_being_repeated() {
    let scene = Scene::start().await;
    let good = scene.simulator.session().to_owned();
    let empty_key = {
        let mut bytes = URL_SAFE.decode(&good[1..]).unwrap();
        bytes[7..].fill(0);
        format!("1{}", URL_SAFE.encode(bytes))
    };
    for (broken, why) in [
        (good[..good.len() - 9].to_owned(), "base 64"),
        (good[..good.len() - 8].to_owned(), "263 or 275"),
        (good.replacen('1', "2", 1), "does not begin"),
        (format!("1{}", "*".repeat(352)), "base 64"),
        (format!("{good}{good}"), "base 64"),
        (empty_key, "before anybody logged in"),
    ] {
        let loader = Loader::new()
            .set("telegram.session", &broken)
            .set("telegram.api_id", "1")
            .set("telegram.api_hash", API_HASH);
        let refused = loader.section::<Config>().unwrap_err();
        let told = format!("{refused} {refused:?}");
        // And for whoever builds the service without having asked the configuration.
        let built = scene
            .built(|config| config.session = broken.as_str().into())
            .await;
        let error = built.unwrap_err();
        for told in [told, format!("{error} {error:?}")] {
            assert!(told.contains(why), "{told}");
            assert_eq!(shows(&told, &broken, "no number"), None, "{told}");
            assert_eq!(shows(&told, &good, "no number"), None, "{told}");
        }
    }
    assert!(scene.built(|_| {}).await.is_ok(), "the good one is taken");
}
