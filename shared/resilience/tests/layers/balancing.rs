use std::sync::Arc;

use touchstone_resilience::Action;
use touchstone_resilience::breaker::State;
use touchstone_resilience::layers::Balanced;
use touchstone_resilience::upstream::Config;

use crate::world::{Error, Plan, Server, World, millis, upstream};

fn world(servers: &[Server]) -> World {
    let (upstream, ledger) = upstream(&Config::default());
    let named = servers.iter().enumerate();
    let named = named.map(|(n, server)| (n.to_string(), server.clone()));
    World::around(Balanced::new(upstream, named), ledger)
}

#[tokio::test(start_paused = true)]
async fn one_dead_instance_of_three_costs_no_caller_an_answer() {
    for plan in [
        Plan::Refuse,
        Plan::Break,
        Plan::Status(503),
        Plan::Later(503, 9),
    ] {
        let servers = [
            Server::always(Plan::After(millis(5))),
            Server::always(plan),
            Server::always(Plan::After(millis(5))),
        ];
        let world = world(&servers);
        for _ in 0..2000 {
            assert_eq!(world.get().await.unwrap(), 200, "{plan:?}");
        }
        // Ten seconds of calls: it is tried when its load has faded, and by the breaker's probes.
        let tried = servers[1].calls();
        assert!((1..15).contains(&tried), "{plan:?}: {tried}");
        assert!(servers[0].calls() > 500 && servers[2].calls() > 500);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_instance_that_comes_back_is_used_again() {
    let servers = [
        Server::always(Plan::After(millis(5))),
        Server::always(Plan::Refuse),
    ];
    let world = world(&servers);
    for _ in 0..500 {
        world.get().await.unwrap();
    }
    servers[1].then(Plan::After(millis(5)));
    let before = servers[1].calls();
    for _ in 0..20_000 {
        world.get().await.unwrap();
    }
    assert!(servers[1].calls() - before > 5000, "{}", servers[1].calls());
    let well = world.balanced.snapshot();
    assert!(well.iter().all(|one| one.breaker.failures_in_a_row == 0));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_flaps_is_asked_little_and_recovers() {
    let begin = tokio::time::Instant::now();
    // Five seconds well, five seconds dead.
    let flaps = move |_| match begin.elapsed().as_secs() / 5 % 2 {
        0 => Plan::Echo,
        _ => Plan::Status(500),
    };
    let server = Server::new(flaps);
    let world = Arc::new(World::new(&Config::default(), &server));
    let (mut good, mut offered) = (0u32, 0u32);
    while begin.elapsed().as_secs() < 60 {
        offered += 1;
        good += u32::from(world.get().await.is_ok_and(|status| status == 200));
        tokio::time::sleep(millis(10)).await;
    }
    let failed = world.ledger.counts();
    assert!(good > offered / 10, "{good} of {offered}: {failed:?}");
    let bad = server.calls() - u64::from(good);
    assert!(bad < 100, "{bad} calls met the dead upstream");
}

#[tokio::test(start_paused = true)]
async fn instances_come_and_go_and_the_known_keep_what_they_know() {
    let servers = [Server::always(Plan::Refuse), Server::always(Plan::Echo)];
    let world = world(&servers[..1]);
    assert!(world.get().await.is_err());
    let opened = |world: &World| world.balanced.snapshot()[0].breaker.failures_in_a_row;
    assert_eq!(opened(&world), 3);
    let named = servers.iter().enumerate();
    world
        .balanced
        .update(named.map(|(n, server)| (n.to_string(), server.clone())));
    assert_eq!(opened(&world), 3);
    assert_eq!(world.get().await.unwrap(), 200);
    world.balanced.update([]);
    let error = world.get().await.unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    assert_eq!(error.to_string(), "a policy ended the call");
}

/// Many callers at once: the dead instance is met often enough for its breaker to open.
#[tokio::test(start_paused = true)]
async fn the_breaker_of_a_dead_instance_opens_under_load_and_its_probe_costs_nobody_an_answer() {
    let servers = [
        Server::always(Plan::After(millis(20))),
        Server::always(Plan::Refuse),
        Server::always(Plan::After(millis(20))),
    ];
    let world = Arc::new(world(&servers));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let world = Arc::clone(&world);
        callers.spawn(async move {
            for _ in 0..1000 {
                assert_eq!(world.get().await.unwrap(), 200);
            }
        });
    }
    callers.join_all().await;
    assert_eq!(world.balanced.snapshot()[1].breaker.state, State::Open);
    let probes = world.ledger.count(Action::Probed);
    assert!((3..8).contains(&probes), "{probes} in 20 s");

    servers[1].then(Plan::After(millis(20)));
    let begin = tokio::time::Instant::now();
    while world.ledger.count(Action::Closed) == 0 {
        assert_eq!(world.get().await.unwrap(), 200);
    }
    assert!(begin.elapsed() <= millis(46_000), "{:?}", begin.elapsed());
}
