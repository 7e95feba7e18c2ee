use grammers_mtsender::InvocationError;
use touchstone_telegram_simulator::{Armed, Fault, Scenario};

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
    scene.simulator.arm(on("contacts.resolveUsername", Fault::Flood { seconds: 1 }));
    let error = scene.client.resolve_username("durov").await.unwrap_err();
    let InvocationError::Rpc(error) = error else {
        panic!("{error}");
    };
    assert_eq!((error.code, error.name.as_str(), error.value), (420, "FLOOD_WAIT", Some(1)));
    assert_eq!(scene.simulator.fired().get("flood"), Some(&2));
}
