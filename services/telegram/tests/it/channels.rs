use serde_json::{Value, json};

use crate::support::{DUROV, Scene};

#[tokio::test]
async fn channels_are_joined_listed_and_left() {
    let scene = Scene::start().await;
    let list = async || -> Vec<Value> {
        let answer = scene.client.get("/channels/list").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut body: Value = answer.json();
        serde_json::from_value(body["data"]["channels"].take()).unwrap()
    };
    assert!(list().await.is_empty());
    let joined = scene.join("@durov").await;
    assert_eq!(
        joined,
        json!({"id": DUROV, "title": "Pavel Durov", "username": "durov", "joined": true})
    );
    assert_eq!(
        scene.join("durov").await,
        joined,
        "joining twice changes nothing"
    );
    let private = scene.join("https://t.me/+SecretHash_1").await;
    assert_eq!(
        (&private["username"], &private["joined"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(scene.join("t.me/+SecretHash_1").await["id"], private["id"]);

    let channels = list().await;
    assert_eq!(channels.len(), 2);
    let durov = channels
        .iter()
        .find(|channel| channel["id"] == DUROV)
        .unwrap();
    let truth = scene.simulator.truth(DUROV).unwrap();
    assert_eq!(durov["last_message_id"], truth.channel.last_id);
    let participants = scene
        .simulator
        .read(|world| world.channel(DUROV).map(|channel| channel.participants))
        .unwrap();
    assert_eq!(durov["participants"], participants + 1, "and us");

    for _ in 0..2 {
        let body = json!({"channel_username": "durov"});
        let answer = scene.client.post("/channels/leave", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json::<Value>()["data"]["joined"], false);
    }
    assert_eq!(list().await.len(), 1);
}

#[tokio::test]
async fn more_channels_than_a_page_holds_are_listed_each_once() {
    let mut scenario = crate::support::world();
    let one = scenario.channel[0].clone();
    scenario.channel = (0..230)
        .map(|number| touchstone_telegram_simulator::ChannelScenario {
            username: Some(format!("channel_{number}")),
            title: format!("Channel {number}"),
            posts: 3,
            joined: true,
            ..one.clone()
        })
        .collect();
    let scene = Scene::of(scenario, |_| {}).await;
    let body: Value = scene.client.get("/channels/list").await.json();
    let channels = body["data"]["channels"].as_array().unwrap();
    let mut ids: Vec<i64> = channels.iter().map(|c| c["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((channels.len(), ids.len()), (230, 230));
    assert_eq!(body["message"], "Found 230 channels");
}

#[tokio::test]
async fn invites_that_hold_no_longer_are_told_apart_from_malformed_ones() {
    let scene = Scene::start().await;
    for (link, problem) in [
        ("t.me/+Expired_Link", "422 telegram.bad_invite"),
        ("t.me/+", "422 request.invalid"),
        ("t.me/+a/b", "422 request.invalid"),
        ("t.me/joinchat/%00%00%00", "422 request.invalid"),
    ] {
        for path in ["/channels/join", "/channels/leave"] {
            let answer = scene
                .client
                .post(path, &json!({"channel_username": link}))
                .await;
            assert_eq!(answer.problem(), problem, "{path} {link}");
        }
    }
    let leave = json!({"channel_username": "t.me/+SecretHash_1"});
    let answer = scene.client.post("/channels/leave", &leave).await;
    assert_eq!(answer.problem(), "403 telegram.channel_private");
}
