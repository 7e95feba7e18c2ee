//! Channels that are followed: what is held is what is true, whatever went wrong on the way.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use touchstone_telegram::domain::ledger::Row;
use touchstone_telegram::store::{Stamp, Told};
use touchstone_telegram_simulator::{Fault, PostRequest, TooLong};
use touchstone_types::{Clock, IdSource, SystemClock};

use crate::support::{DUROV, Scene, world};

/// Follows `durov`, as a member.
async fn follow(scene: &Scene) {
    scene.join("durov").await;
    let answer = scene
        .client
        .post(&format!("/channels/{DUROV}/sync"), &json!({}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json::<Value>()["data"],
        json!({"channel_id": DUROV, "following": true})
    );
}

/// The posts of `durov` as they are true.
fn truth(scene: &Scene) -> BTreeMap<i32, String> {
    let truth = scene.simulator.truth(DUROV).unwrap();
    truth
        .posts
        .into_iter()
        .map(|post| (post.id, post.text))
        .collect()
}

/// The posts of `durov` that the service's store holds.
async fn held(scene: &Scene) -> BTreeMap<i32, String> {
    let rows = scene.store().await.rows(DUROV, 0, i32::MAX).await.unwrap();
    let posts = rows.into_iter().filter_map(|stored| stored.row.post);
    posts.map(|post| (post.message_id, post.text)).collect()
}

async fn completeness(scene: &Scene) -> Value {
    let answer = scene
        .client
        .get(&format!("/channels/{DUROV}/completeness"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json::<Value>()["data"].take()
}

/// Waits until what is held is what is true.
async fn in_step(scene: &Scene, why: &str) {
    for _ in 0..1_500 {
        if held(scene).await == truth(scene) && completeness(scene).await["complete"] == true {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = completeness(scene).await;
    assert_eq!(held(scene).await, truth(scene), "{why}: {report}");
    assert_eq!(report["complete"], true, "{why}: {report}");
}

#[tokio::test]
async fn history_is_read_and_every_number_is_accounted_for() {
    let scene = Scene::start().await;
    follow(&scene).await;
    in_step(&scene, "history").await;
    let (report, truth) = (
        completeness(&scene).await,
        scene.simulator.truth(DUROV).unwrap(),
    );
    assert_eq!(report["posts"], truth.posts.len());
    assert_eq!(report["pts"], truth.channel.pts);
    assert_eq!(
        report["intervals"],
        json!([{"low": 1, "high": truth.channel.last_id}])
    );
    assert_eq!(report["missing"], json!([]));
    let spans = |holes: &Value| -> Vec<i64> {
        let spans = holes.as_array().unwrap().iter();
        let numbers = spans.flat_map(|s| s["low"].as_i64().unwrap()..=s["high"].as_i64().unwrap());
        numbers.collect()
    };
    let service: Vec<i64> = truth.service.iter().map(|id| i64::from(*id)).collect();
    assert_eq!(spans(&report["holes"]["service"]), service);
    let there =
        |id: &i64| service.contains(id) || truth.posts.iter().any(|post| i64::from(post.id) == *id);
    let absent: Vec<i64> = (1..=i64::from(truth.channel.last_id))
        .filter(|id| !there(id))
        .collect();
    assert_eq!(spans(&report["holes"]["absent"]), absent);
    assert_eq!(report["chain"]["broken"], json!([]));
}

#[tokio::test]
async fn posts_edits_and_deletions_arrive() {
    let scene = Scene::start().await;
    follow(&scene).await;
    in_step(&scene, "history").await;
    let id = scene
        .simulator
        .post(DUROV, PostRequest::text("new"))
        .unwrap();
    in_step(&scene, "a post").await;
    scene.simulator.edit(DUROV, id, "edited");
    scene.simulator.edit(DUROV, 400, "an old one, edited");
    in_step(&scene, "edits").await;
    scene.simulator.delete(DUROV, &[id, 399, 401]);
    in_step(&scene, "deletions").await;
    let report = completeness(&scene).await;
    let deleted = report["holes"]["deleted"].to_string();
    assert!(deleted.contains(&format!("\"high\":{id}")), "{deleted}");
}

#[tokio::test]
async fn what_the_updates_lose_is_found() {
    for fault in [
        Fault::DropPush,
        Fault::Reorder,
        Fault::TooLong { with_pts: true },
        Fault::TooLong { with_pts: false },
        Fault::MalformedUpdate,
    ] {
        let scene = Scene::start().await;
        follow(&scene).await;
        in_step(&scene, "history").await;
        scene.arm(fault.clone(), None, 1, 3);
        for number in 0..8 {
            scene
                .simulator
                .post(DUROV, PostRequest::text(format!("{number}")));
        }
        scene.simulator.delete(DUROV, &[300, 301]);
        in_step(&scene, &format!("{fault:?}")).await;
        assert_eq!(scene.simulator.fired().get(&fault.name()), Some(&3));
    }
}

#[tokio::test]
async fn an_edit_counts_whatever_the_clock_over_there_says() {
    let scene = Scene::start().await;
    follow(&scene).await;
    in_step(&scene, "history").await;
    for (seconds, text) in [(3_600, "in an hour"), (-3_600, "an hour ago")] {
        scene.arm(Fault::ClockSkew { seconds }, None, 0, 1);
        // A call meets it.
        let path = format!("/channels/{DUROV}/messages?limit=1");
        let answer = scene.client.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            scene.simulator.fired()["clock_skew"],
            1 + u64::from(seconds < 0)
        );
        scene.simulator.edit(DUROV, 400, text);
        in_step(&scene, text).await;
    }
}

#[tokio::test]
async fn changes_that_nobody_can_tell_any_more_are_found_by_reading_again() {
    for too_long in [TooLong::Limit, TooLong::Behind { changes: 30 }] {
        let mut scenario = world();
        scenario.too_long = too_long;
        let scene = Scene::of(scenario, |_| {}).await;
        follow(&scene).await;
        in_step(&scene, "history").await;
        // Nothing of it is pushed.
        scene.arm(Fault::DropPush, None, 0, 252);
        for number in 0..250 {
            scene
                .simulator
                .post(DUROV, PostRequest::text(format!("{number}")));
        }
        scene.simulator.delete(DUROV, &[200, 201, 470]);
        scene.simulator.edit(DUROV, 100, "edited meanwhile");
        scene.simulator.post(DUROV, PostRequest::text("the hint"));
        in_step(&scene, &format!("{too_long:?}")).await;
    }
}

#[tokio::test]
async fn a_broken_connection_in_the_middle_of_the_history_costs_nothing() {
    for fault in [
        Fault::Reset,
        Fault::WrongSession,
        Fault::Flood { seconds: 1 },
    ] {
        let scene = Scene::start().await;
        scene.arm(fault.clone(), Some("messages.getHistory"), 2, 1);
        follow(&scene).await;
        in_step(&scene, &format!("{fault:?}")).await;
        assert_eq!(scene.simulator.fired().get(&fault.name()), Some(&1));
    }
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let scene = Scene::start().await;
    scene.arm(
        Fault::Delay { ms: 60_000 },
        Some("messages.getHistory"),
        2,
        1,
    );
    follow(&scene).await;
    for _ in 0..2_000 {
        if scene.simulator.fired().contains_key("delay") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let scene = scene.restart().await;
    // Something happens while nobody looks.
    in_step(&scene, "after a restart").await;
    // Two pages were stored, the third was under way: it alone is read again, and an empty one says
    // that nothing is left.
    let pages = scene.calls("messages.getHistory");
    let truth = scene.simulator.truth(DUROV).unwrap();
    let all = truth.posts.len() + truth.service.len();
    assert!(pages.len() <= all.div_ceil(100) + 2, "{pages:?}");
    scene
        .simulator
        .post(DUROV, PostRequest::text("later"))
        .unwrap();
    in_step(&scene, "a post after a restart").await;
}

#[tokio::test]
async fn a_post_that_somebody_changed_in_the_store_is_told() {
    let scene = Scene::start().await;
    follow(&scene).await;
    in_step(&scene, "history").await;
    let truth = scene.simulator.truth(DUROV).unwrap();
    let id = truth
        .posts
        .iter()
        .find(|post| !post.text.is_empty())
        .unwrap()
        .id;
    let (text, other) = ("'\"text\":\"'", "'\"text\":\"x'");
    let change = |from, to| {
        format!("UPDATE messages SET body = replace(body, {from}, {to}) WHERE id = {id}")
    };
    scene.tamper(&change(text, other)).await;
    let report = completeness(&scene).await;
    assert_eq!(
        (&report["chain"]["broken"], &report["complete"]),
        (&json!([0]), &json!(false))
    );
    scene.tamper(&change(other, text)).await;
    assert_eq!(completeness(&scene).await["complete"], true);
    scene
        .tamper(&format!("DELETE FROM messages WHERE id = {id}"))
        .await;
    assert_eq!(completeness(&scene).await["chain"]["broken"], json!([0]));
}

#[tokio::test]
async fn a_channel_is_followed_no_more_when_its_last_follower_goes() {
    let scene = Scene::start().await;
    let path = format!("/channels/{DUROV}/sync");
    assert_eq!(
        scene.client.delete(&path).await.problem(),
        "404 telegram.not_followed"
    );
    assert_eq!(
        scene.client.post(&path, &json!({})).await.problem(),
        "404 telegram.channel_not_found"
    );
    let report = scene
        .client
        .get(&format!("/channels/{DUROV}/completeness"))
        .await;
    assert_eq!(report.problem(), "404 telegram.channel_not_found");
    follow(&scene).await;
    assert_eq!(scene.health().await["details"]["channels_followed"], 1);
    follow(&scene).await;
    assert_eq!(
        scene.health().await["details"]["channels_followed"],
        1,
        "once"
    );
    let answer = scene.client.delete(&path).await;
    assert_eq!(answer.json::<Value>()["data"]["following"], false);
    assert_eq!(scene.health().await["details"]["channels_followed"], 0);
    assert_eq!(completeness(&scene).await["following"], false);
}

#[tokio::test]
async fn two_instances_never_use_the_account_at_once() {
    let scene = Scene::start().await;
    scene
        .health_until(|health| health["details"]["telegram_authorized"] == true)
        .await;
    let life = touchstone_lifecycle::Lifecycle::new();
    let second = scene.another(&life).await;
    for _ in 0..200 {
        let health: Value = second.get("/health").await.json();
        if health["details"]["account"]["state"] == "standby" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let body = json!({"channel_username": "durov", "limit": 5});
    let answer = second.post("/channels/parse", &body).await;
    assert_eq!(answer.problem(), "503 telegram.standby");
    assert_eq!(scene.simulator.connected(), 1);
    assert_eq!(scene.parse("durov", 5).await.status, 200);

    // The first one gives the account back when it ends, and the second one takes over.
    scene.stop().await;
    for _ in 0..3_000 {
        let health: Value = second.get("/health").await.json();
        if health["details"]["telegram_authorized"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(second.post("/channels/parse", &body).await.status, 200);
    assert_eq!(scene.simulator.connected(), 1);
    life.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_follower_whose_request_was_cut_off_is_taken_up() {
    let scene = Scene::of(world(), |config| {
        config.sync_poll = Duration::from_millis(200);
    })
    .await;
    scene.parsed("durov", 5).await;
    assert_eq!(scene.health().await["details"]["channels_followed"], 0);
    // What the request committed, or another instance.
    let tenant = "x'01920000000070008000000000000001'";
    scene
        .tamper(&format!(
            "INSERT INTO followers VALUES ({DUROV}, {tenant}, 0)"
        ))
        .await;
    scene.tamper("UPDATE channels SET pts = 0").await;
    in_step(&scene, "taken up").await;
    assert_eq!(scene.health().await["details"]["channels_followed"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_instance_writes_meanwhile_breaks_no_block() {
    let scene = Scene::start().await;
    scene.parsed("durov", 300).await;
    let store = scene.store().await;
    let ids = IdSource::system();
    let rows = store.rows(DUROV, 0, i32::MAX).await.unwrap();
    let row = rows.into_iter().rev().find(|it| it.row.post.is_some());
    let row = row.unwrap().row;
    let write = async |number: i32| {
        let told = Told {
            rows: vec![Row {
                edited_at: Some(number),
                ..row.clone()
            }],
            ..Told::default()
        };
        let stamp = Stamp {
            at: SystemClock.now(),
            ids: ids.clone(),
        };
        store.apply(DUROV, &told, &stamp).await.unwrap();
    };
    let looked = AtomicBool::new(false);
    let writing = async {
        let mut number = 0;
        while !looked.load(Ordering::SeqCst) {
            number += 1;
            write(number).await;
        }
        number
    };
    let looking = async {
        for _ in 0..60 {
            let report = completeness(&scene).await;
            assert_eq!(report["chain"]["broken"], json!([]), "{report}");
        }
        looked.store(true, Ordering::SeqCst);
    };
    let (written, ()) = tokio::join!(writing, looking);
    assert!(written > 1);
}
