use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use touchstone_resilience::Action;
use touchstone_resilience::layers::{Balanced, Hedgeable, Repeatable};
use touchstone_resilience::upstream::Config;

use crate::world::{Plan, Server, World, millis, request, upstream};

const USUAL: Plan = Plan::After(millis(10));

/// A search: a `POST` that only reads.
fn search(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut search = request(Method::POST, body);
    search.extensions_mut().insert(Repeatable);
    search.extensions_mut().insert(Hedgeable);
    search
}

fn world(servers: &[Server]) -> World {
    let (upstream, ledger) = upstream(&Config::default());
    let named = servers.iter().enumerate();
    let named = named.map(|(n, server)| (n.to_string(), server.clone()));
    World::around(Balanced::new(upstream, named), ledger)
}

/// Enough calls of each kind to know what is usual.
async fn learn(world: &World) {
    for _ in 0..100 {
        world.call(search("question")).await.unwrap();
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            world.call(request(method, "")).await.unwrap();
        }
    }
    assert_eq!(world.ledger.count(Action::Hedged), 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_read_is_answered_by_another_instance_and_the_loser_is_dropped() {
    for body in ["", "question"] {
        let read = || match body {
            "" => request(Method::GET, ""),
            body => search(body),
        };
        let servers = [Server::always(USUAL), Server::always(USUAL)];
        let world = world(&servers);
        learn(&world).await;
        let before = servers[0].calls() + servers[1].calls();
        servers[0].then(Plan::Hang);
        // Whichever is asked first; the silent one is asked once, and then looks slow.
        let mut slow = Vec::new();
        for _ in 0..20 {
            let started = tokio::time::Instant::now();
            let answer = world.call(read()).await.unwrap();
            assert_eq!(answer, (200, body.into()), "the body is sent again");
            if started.elapsed() > millis(10) {
                slow.push(started.elapsed());
            }
        }
        assert!(
            matches!(&slow[..], [took] if (millis(20)..millis(23)).contains(took)),
            "{slow:?}"
        );
        assert_eq!(servers[0].dropped.load(Ordering::SeqCst), 1);
        assert_eq!(servers[0].calls() + servers[1].calls(), before + 21);
        assert_eq!(world.ledger.count(Action::Hedged), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn writes_upgrades_and_bodies_that_are_too_large_have_one_attempt() {
    let servers = [Server::always(USUAL), Server::always(USUAL)];
    let world = world(&servers);
    learn(&world).await;
    let mut upgrade = request(Method::GET, "");
    let websocket = "websocket".parse().unwrap();
    upgrade.headers_mut().insert("upgrade", websocket);
    let mut repeatable = request(Method::POST, "x");
    repeatable.extensions_mut().insert(Repeatable);
    let alone = [
        request(Method::POST, "write"),
        request(Method::PUT, "write"),
        request(Method::DELETE, ""),
        repeatable,
        upgrade,
        search("x".repeat(65 * 1024)),
    ];
    for server in &servers {
        server.then(Plan::Hang);
    }
    for request in alone {
        let before = servers[0].calls() + servers[1].calls();
        let what = format!("{} {:?}", request.method(), request.headers());
        let call = world.call(request);
        assert!(tokio::time::timeout(millis(10_000), call).await.is_err());
        let asked = servers[0].calls() + servers[1].calls() - before;
        assert_eq!(asked, 1, "{what}");
    }
    assert_eq!(world.ledger.count(Action::Hedged), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_hedged_within_the_process() {
    let server = Server::always(USUAL);
    let (upstream, ledger) = upstream(&Config::default());
    let world = World::around(Balanced::local(upstream, server.clone()), ledger);
    learn(&world).await;
    server.then(Plan::Hang);
    let before = server.calls();
    let call = world.call(search("question"));
    assert!(tokio::time::timeout(millis(10_000), call).await.is_err());
    assert_eq!(server.calls(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn second_attempts_are_at_most_a_twentieth_of_the_calls() {
    let server = Server::always(USUAL);
    let (upstream, ledger) = upstream(&Config::default());
    let world = World::around(Balanced::single(upstream, server.clone()), ledger);
    for _ in 0..100 {
        world.call(search("question")).await.unwrap();
    }
    // All of a sudden nothing is answered.
    server.then(Plan::Hang);
    for _ in 0..100 {
        let call = world.call(search("question"));
        assert!(tokio::time::timeout(millis(50), call).await.is_err());
    }
    assert_eq!(world.ledger.count(Action::Hedged), 10);
}
