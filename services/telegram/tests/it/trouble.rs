use std::time::Duration;

use axum::body::Body;
use futures_util::future::join_all;
use http::Request;
use serde_json::json;
use touchstone_telegram_simulator::Fault;

use crate::support::{DUROV, Scene, limited};

#[tokio::test]
async fn a_short_flood_is_waited_for_and_a_long_one_is_told() {
    let scene = Scene::start().await;
    scene.arm(
        Fault::Flood { seconds: 1 },
        Some("messages.getHistory"),
        0,
        1,
    );
    let data = scene.parsed("durov", 5).await;
    assert_eq!(data["total_parsed"], 5);
    assert_eq!(scene.calls("messages.getHistory"), ["FLOOD_WAIT_1", "ok"]);

    scene.arm(
        Fault::Flood { seconds: 600 },
        Some("messages.getHistory"),
        0,
        1,
    );
    let files = scene.files();
    let answer = scene.parse("durov", 5).await;
    assert_eq!(answer.problem(), "429 telegram.flood_wait");
    let after: u64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((590..=601).contains(&after), "{after}");
    assert_eq!(scene.files(), files, "no half export");

    // Nobody asks Telegram again before the time is over; other methods go on.
    let calls = scene.calls("messages.getHistory").len();
    let answer = scene.parse("durov", 5).await;
    assert_eq!(answer.problem(), "429 telegram.flood_wait");
    assert_eq!(scene.calls("messages.getHistory").len(), calls);
    scene.join("novosti").await;
    let health = scene.health().await;
    assert_eq!(health["details"]["flood_waits"], 2, "{health}");
}

#[tokio::test]
async fn metrics_tell_how_the_account_stands_also_when_nobody_asks_for_its_health() {
    let scene = Scene::start().await;
    let flood = Fault::Flood { seconds: 1 };
    scene.arm(flood, Some("messages.getHistory"), 0, 1);
    scene.parsed("durov", 5).await;
    let text = scene.client.get("/metrics").await.text();
    for line in [
        "touchstone_telegram_authorized 1",
        "touchstone_telegram_flood_waits_total 1",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn a_hidden_limit_is_met_once_and_then_kept() {
    let scenario = limited("messages.getHistory", 4.0, 3.0, 1);
    let scene = Scene::of(scenario, |config| config.rate_limit = 60.0).await;
    scene.join("durov").await;
    let read = async |before: i32| {
        let path = format!("/channels/{DUROV}/messages?limit=1&before={before}");
        assert_eq!(scene.client.get(&path).await.status, 200);
    };
    // So many at once pass the limit on every machine.
    join_all((2..=8).map(read)).await;
    for before in 9..=30 {
        read(before).await;
    }
    let floods = scene.calls("messages.getHistory");
    let floods = floods
        .iter()
        .filter(|outcome| outcome.starts_with("FLOOD_WAIT"))
        .count();
    // Two are under way when it is met first, and one more is met while its rate is looked for.
    assert!((1..=3).contains(&floods), "{floods} floods");
    let waits = scene.calls("messages.getHistory");
    let longer = waits.iter().filter(|outcome| *outcome == "FLOOD_WAIT_4");
    assert_eq!(longer.count(), 0, "the wait was kept, so it did not grow");
}

#[tokio::test]
async fn whatever_breaks_the_connection_costs_a_reader_nothing() {
    for fault in [
        Fault::Reset,
        Fault::WrongSession,
        Fault::SaltRotation,
        Fault::Transport { status: 429 },
        Fault::Delay { ms: 300 },
    ] {
        let scene = Scene::start().await;
        scene.join("durov").await;
        scene.arm(fault.clone(), Some("messages.getHistory"), 1, 1);
        let data = scene.parsed("durov", 300).await;
        let truth = scene.simulator.truth(DUROV).unwrap();
        let wanted: Vec<i32> = truth
            .posts
            .iter()
            .rev()
            .take(300)
            .map(|post| post.id)
            .collect();
        let got: Vec<i64> = data["posts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|post| post["message_id"].as_i64().unwrap())
            .collect();
        assert_eq!(json!(got), json!(wanted), "{fault:?}");
        assert_eq!(scene.simulator.fired().get(&fault.name()), Some(&1));
        let health = scene
            .health_until(|h| h["details"]["telegram_authorized"] == true)
            .await;
        assert_eq!(health["status"], "healthy", "{fault:?}: {health}");
    }
}

#[tokio::test]
async fn telegram_gone_is_told_and_the_exports_stay() {
    let scene = Scene::of(crate::support::world(), |config| {
        config.request_timeout = Duration::from_secs(2);
    })
    .await;
    scene.parsed("durov", 5).await;
    let files = scene.files();
    scene.stop_data_centre().await;
    let answer = scene.parse("durov", 5).await;
    let problem = answer.problem();
    assert!(
        ["503 telegram.unreachable", "504 telegram.timeout"].contains(&problem.as_str()),
        "{problem}"
    );
    assert_eq!(scene.files(), files, "untouched, and nothing half");
    let answer = scene.client.get(&format!("/files/{}", files[0])).await;
    assert_eq!(answer.status, 200, "what was exported can still be had");
    let health = scene
        .health_until(|h| h["details"]["telegram_connected"] == false)
        .await;
    assert_eq!(health["status"], "degraded", "{health}");
}

#[tokio::test]
async fn a_session_that_ended_is_told_with_what_to_do() {
    for (fault, problem, state) in [
        (
            Fault::Error {
                code: 401,
                message: "SESSION_REVOKED".into(),
            },
            "409 telegram.not_authorized",
            "not_authorized",
        ),
        (
            Fault::DuplicateKey,
            "409 telegram.session_in_use",
            "duplicated",
        ),
    ] {
        let scene = Scene::start().await;
        scene.join("durov").await;
        scene.arm(fault, Some("messages.getHistory"), 0, 1);
        let answer = scene.parse("durov", 5).await;
        assert_eq!(answer.problem(), problem);
        if state == "not_authorized" {
            assert!(
                answer.text().contains("TELEGRAM_API_ID"),
                "{}",
                answer.text()
            );
        }
        assert!(scene.files().is_empty(), "nothing half");
        let health = scene.health().await;
        assert_eq!(health["details"]["account"]["state"], state, "{health}");
        assert_eq!(health["details"]["telegram_authorized"], false);
        // It was said once: the session is tried again by and by.
        let health = scene
            .health_until(|h| h["details"]["telegram_authorized"] == true)
            .await;
        assert_eq!(health["status"], "healthy", "{health}");
        assert_eq!(scene.parse("durov", 5).await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_that_went_silent_costs_a_reader_nothing() {
    let scene = Scene::start().await;
    scene.arm(Fault::HalfOpen, Some("messages.getHistory"), 1, 1);
    let data = scene.parsed("durov", 300).await;
    assert_eq!(data["total_parsed"], 300);
    assert_eq!(scene.simulator.fired().get("half_open"), Some(&1));
}

#[tokio::test]
async fn an_answer_that_takes_long_is_waited_for_while_the_connection_lives() {
    let scene = Scene::start().await;
    scene.join("durov").await;
    scene.arm(
        Fault::Delay { ms: 6_000 },
        Some("messages.getHistory"),
        0,
        1,
    );
    scene.parsed("durov", 5).await;
    assert_eq!(scene.calls("messages.getHistory"), ["ok"]);
}

#[tokio::test]
async fn a_process_that_ends_in_the_middle_of_a_parse_leaves_nothing_half() {
    let scene = Scene::start().await;
    scene.arm(
        Fault::Delay { ms: 60_000 },
        Some("messages.getHistory"),
        2,
        1,
    );
    let body = json!({"channel_username": "durov", "limit": 400});
    let parsing = scene.client.post("/channels/parse", &body);
    let reached = async {
        while scene.simulator.fired().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = parsing => assert_eq!(answer.text(), "", "it cannot have ended"),
        () = reached => {}
    }
    let scene = scene.restart().await;
    let visible = |name: &String| !name.starts_with('.');
    assert_eq!(scene.files().iter().filter(|name| visible(name)).count(), 0);
    // Whoever takes over parses the same channel as if nothing had been.
    let data = scene.parsed("durov", 400).await;
    assert_eq!(data["total_parsed"], 400);
    assert_eq!(scene.files().len(), 2, "{:?}", scene.files());
}

#[tokio::test]
async fn a_caller_who_does_not_wait_breaks_nothing_for_others() {
    let scene = Scene::start().await;
    scene.join("durov").await;
    // Otherwise an answer may come before anybody has looked at the time.
    let delay = Fault::Delay { ms: 10_000 };
    scene.arm(delay, Some("messages.getDialogs"), 0, 5);
    for _ in 0..5 {
        let request = Request::get("/channels/list").header("x-deadline-ms", "0");
        let answer = scene
            .client
            .send(request.body(Body::empty()).unwrap())
            .await;
        assert_eq!(answer.status, 504, "{}", answer.text());
    }
    scene.parsed("durov", 5).await;
    let connections = scene.calls("users.getUsers").len();
    assert_eq!(connections, 1, "the first one is used still");
}

#[tokio::test]
async fn without_a_connection_everybody_is_told_that_and_of_no_flood() {
    let scene = Scene::of(crate::support::world(), |config| {
        config.request_timeout = Duration::from_secs(2);
    })
    .await;
    scene.join("durov").await;
    scene.stop_data_centre().await;
    let path = format!("/channels/{DUROV}/messages?limit=1");
    for answer in join_all((0..6).map(|_| scene.client.get(&path))).await {
        let problem = answer.problem();
        let told = [
            "503 telegram.unreachable",
            "504 telegram.timeout",
            "504 request.deadline",
        ];
        assert!(told.contains(&problem.as_str()), "{problem}");
    }
}

#[tokio::test]
async fn calls_that_wait_for_slow_ones_are_late_and_not_flooded() {
    let scene = Scene::of(crate::support::world(), |config| {
        config.request_timeout = Duration::from_secs(2);
    })
    .await;
    scene.join("durov").await;
    let delay = Fault::Delay { ms: 60_000 };
    scene.arm(delay, Some("messages.getHistory"), 0, 6);
    let path = format!("/channels/{DUROV}/messages?limit=1");
    for answer in join_all((0..6).map(|_| scene.client.get(&path))).await {
        assert_eq!(answer.status, 504, "{}", answer.text());
    }
    assert_eq!(scene.health().await["details"]["flood_waits"], 0);
}
