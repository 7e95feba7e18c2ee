use http::{Method, Request};
use http_body_util::Full;
use touchstone_resilience::breaker::State;
use touchstone_resilience::layers::{Balanced, Connected};
use touchstone_resilience::stream::End;
use touchstone_resilience::upstream::Config;
use tower::Service;

use crate::world::{Plan, Server, World, millis, request, upstream};

fn upgrade() -> Request<Full<bytes::Bytes>> {
    let mut upgrade = request(Method::GET, "");
    let websocket = "websocket".parse().unwrap();
    upgrade.headers_mut().insert("upgrade", websocket);
    upgrade
}

async fn connect(world: &World) -> Connected {
    let answer = world.stack.clone().call(upgrade()).await.unwrap();
    assert_eq!(answer.status(), 101);
    answer.extensions().get::<Connected>().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn connections_that_the_upstream_breaks_off_open_its_breaker() {
    let server = Server::always(Plan::Upgrade);
    let world = World::new(&Config::default(), &server);
    for round in 1..=5 {
        let connection = connect(&world).await;
        // A long silence says nothing: nobody had to speak.
        tokio::time::sleep(millis(100_000)).await;
        connection.ended(End::BrokenOff);
        connection.ended(End::Complete);
        let breaker = world.balanced.snapshot()[0].breaker;
        assert_eq!(breaker.failures_in_a_row, round);
    }
    let breaker = world.balanced.snapshot()[0].breaker;
    assert_eq!(breaker.state, State::Open);
    assert_eq!(
        world.call(upgrade()).await.unwrap_err().to_string(),
        "a policy ended the call"
    );
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_well_or_are_left_hold_no_failure_no_place_and_no_load() {
    let servers = [Server::always(Plan::Upgrade), Server::always(Plan::Upgrade)];
    let (upstream, ledger) = upstream(&Config::default());
    let named = servers.iter().enumerate();
    let named = named.map(|(n, server)| (n.to_string(), server.clone()));
    let world = World::around(Balanced::new(upstream, named), ledger);
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(connect(&world).await);
    }
    for server in &servers {
        assert!(server.calls() > 20, "{}", server.calls());
    }
    let places = world.upstream.snapshot().bulkhead;
    assert_eq!(places.in_flight, [0; 4]);
    tokio::time::sleep(millis(60_000)).await;
    for connection in open.split_off(50) {
        connection.ended(End::Complete);
    }
    drop(open);
    for instance in world.balanced.snapshot() {
        assert_eq!((instance.pending, instance.breaker.failed), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn consent_to_another_protocol_is_proof_enough_for_a_breaker() {
    let server = Server::always(Plan::Status(500));
    let world = World::new(&Config::default(), &server);
    for _ in 0..5 {
        assert_eq!(world.call(upgrade()).await.unwrap().0, 500);
    }
    server.then(Plan::Upgrade);
    tokio::time::sleep(millis(2000)).await;
    let _connection = connect(&world).await;
    let breaker = world.balanced.snapshot()[0].breaker;
    assert_eq!(breaker.state, State::Closed);
}
