use grammers_client::peer::Peer;
use grammers_client::tl;
use grammers_mtsender::InvocationError;
use grammers_session::updates::UpdatesLike;
use touchstone_telegram_simulator::{Armed, Fault, PostRequest, Scenario};

use crate::support::scene;

fn on(method: &str, fault: Fault) -> Armed {
    Armed {
        fault,
        method: Some(method.into()),
        skip: 0,
        times: 2,
    }
}

#[tokio::test]
async fn a_flood_reaches_the_client_as_telegram_words_it() {
    let scene = scene(Scenario::default()).await;
    scene
        .simulator
        .arm(on("contacts.resolveUsername", Fault::Flood { seconds: 1 }));
    let error = scene.client.resolve_username("durov").await.unwrap_err();
    let InvocationError::Rpc(error) = error else {
        panic!("{error}");
    };
    assert_eq!(
        (error.code, error.name.as_str(), error.value),
        (420, "FLOOD_WAIT", Some(1))
    );
    assert_eq!(scene.simulator.fired().get("flood"), Some(&2));
}

/// The numbers of the new posts in an update.
fn posted(updates: &UpdatesLike) -> Vec<i32> {
    let UpdatesLike::Updates(updates) = updates else {
        return Vec::new();
    };
    let tl::enums::Updates::Updates(updates) = updates else {
        return Vec::new();
    };
    let number = |update: &tl::enums::Update| match update {
        tl::enums::Update::NewChannelMessage(update) => Some(update.message.id()),
        _ => None,
    };
    updates.updates.iter().filter_map(number).collect()
}

#[tokio::test]
async fn posts_are_pushed_to_members_and_faults_touch_only_what_they_should() {
    let mut scene = scene(Scenario::default()).await;
    let found = scene.client.resolve_username("durov").await.unwrap();
    let Some(Peer::Channel(channel)) = found else {
        panic!("a channel");
    };
    let id = channel.id().bare_id().unwrap();
    let simulator = &scene.simulator;
    simulator
        .post(id, PostRequest::text("before joining"))
        .unwrap();
    let peer = channel.to_ref().await.unwrap().unwrap();
    scene.client.join_chat(peer).await.unwrap();
    let arm = |fault| {
        simulator.arm(Armed {
            fault,
            method: None,
            skip: 0,
            times: 1,
        });
    };
    let first = simulator.post(id, PostRequest::text("one")).unwrap();
    arm(Fault::DropPush);
    simulator.post(id, PostRequest::text("two, lost")).unwrap();
    arm(Fault::Reorder);
    let third = simulator
        .post(id, PostRequest::text("three, late"))
        .unwrap();
    let fourth = simulator.post(id, PostRequest::text("four")).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(posted(&scene.updates.recv().await.unwrap()));
    }
    assert_eq!(seen, [first, fourth, third]);
}

#[tokio::test]
async fn a_new_salt_and_a_reset_are_survived_by_the_client() {
    let scene = scene(Scenario::default()).await;
    for fault in [Fault::SaltRotation, Fault::Reset] {
        scene.simulator.arm(Armed {
            fault: fault.clone(),
            method: Some("contacts.resolveUsername".into()),
            skip: 0,
            times: 1,
        });
        // The client may tell of the broken connection once; then it goes on.
        let _ = scene.client.resolve_username("durov").await;
        assert!(
            scene
                .client
                .resolve_username("durov")
                .await
                .unwrap()
                .is_some(),
            "{fault:?}"
        );
    }
    assert_eq!(scene.simulator.fired().len(), 2);
}

#[tokio::test]
async fn a_hidden_limit_is_felt_but_not_told() {
    let limit = touchstone_telegram_simulator::Limit {
        rate: 0.1,
        burst: 3.0,
        wait: 600,
        escalation: 2.0,
    };
    let scenario = Scenario {
        limits: [("users.getUsers".to_owned(), limit)].into(),
        ..Scenario::default()
    };
    let scene = scene(scenario).await;
    for _ in 0..3 {
        scene.client.get_me().await.unwrap();
    }
    let error = scene.client.get_me().await.unwrap_err();
    assert!(error.is("FLOOD_WAIT"), "{error}");
    assert_eq!(scene.simulator.fired().get("limit"), Some(&1));
}

#[tokio::test]
async fn only_loopback_is_served() {
    let life = touchstone_lifecycle::Lifecycle::new();
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let clock = std::sync::Arc::new(touchstone_types::SystemClock);
    let scenario = Scenario::default();
    let started =
        touchstone_telegram_simulator::Simulator::start(everywhere, scenario, clock, &life).await;
    assert!(started.unwrap_err().to_string().contains("loopback"));
}
