//! WebSockets among the policies: they are spread over instances, refused by breakers and bulkheads,
//! and what becomes of them is held against who broke them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use futures_util::StreamExt;
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use touchstone_lifecycle::{Lifecycle, Listener};

use crate::support::{Mode, Stack, over_both_transports};
use crate::websockets::{bearer, echoing, in_time, open};

over_both_transports!(
    a_service_that_fails_handshakes_is_not_asked_any_more,
    a_service_that_drops_its_sockets_is_not_asked_any_more,
    handshakes_take_the_places_of_other_calls,
);

/// Counts handshakes on their way to `service`.
fn counted(service: Router, count: &Arc<AtomicUsize>) -> Router {
    let count = Arc::clone(count);
    service.layer(axum::middleware::map_request(move |request: Request| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(request)
    }))
}

async fn refusal(stack: &Stack, address: std::net::SocketAddr) -> (StatusCode, String) {
    open(address, &[bearer(stack)]).await.err().unwrap()
}

#[tokio::test]
async fn sockets_are_spread_over_the_instances_that_are_there() {
    let life = Lifecycle::new();
    let stack = Stack::with(Mode::Http, [], |_| ()).await;
    let counts: [Arc<AtomicUsize>; 2] = Default::default();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut urls = vec![format!("http://{}", gone.local_addr().unwrap())];
    drop(gone);
    for count in &counts {
        let listener = Listener::bind("telegram", ([127, 0, 0, 1], 0).into()).await;
        let listener = listener.unwrap();
        urls.push(format!("http://{}", listener.address()));
        stack.life.serve(listener, counted(echoing(&life), count));
    }
    let address = urls.join(",").parse().unwrap();
    stack.identity.mesh.connect_to("telegram", address);
    let address = stack.listen().await;
    let mut sockets = Vec::new();
    for _ in 0..40 {
        sockets.push(open(address, &[bearer(&stack)]).await.unwrap());
    }
    for count in &counts {
        assert!(count.load(Ordering::SeqCst) > 0, "{counts:?}");
    }
    drop(sockets);
    stack.stop().await;
}

async fn a_service_that_fails_handshakes_is_not_asked_any_more(mode: Mode) {
    let calls = Arc::default();
    let failing = Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR);
    let services = [("telegram", counted(failing, &calls))];
    let stack = Stack::with(mode, services, |config| {
        config.upstreams.open_for = Duration::from_mins(1);
    })
    .await;
    let address = stack.listen().await;
    for _ in 0..5 {
        let (status, _) = refusal(&stack, address).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let (status, body) = refusal(&stack, address).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("gateway.breaker_open"), "{body}");
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    stack.stop().await;
}

async fn a_service_that_drops_its_sockets_is_not_asked_any_more(mode: Mode) {
    let life = Lifecycle::new();
    let tasks = life.clone();
    let dropping = Router::new().fallback(move |mut request: Request| {
        let key = request.headers()["sec-websocket-key"].clone();
        let upgrade = hyper::upgrade::on(&mut request);
        // No close: as if the service had been killed.
        tasks.spawn("drop", async move { drop(upgrade.await) });
        let accept = derive_accept_key(key.as_bytes());
        let headers = [
            ("connection", "upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-accept", accept),
        ];
        std::future::ready((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
    });
    let stack = Stack::with(mode, [("telegram", dropping)], |config| {
        config.upstreams.open_for = Duration::from_mins(1);
    })
    .await;
    let address = stack.listen().await;
    let all = async {
        let mut opened = 0;
        loop {
            match open(address, &[bearer(&stack)]).await {
                Ok((mut socket, _)) => {
                    // Its client goes after it.
                    while let Some(Ok(_)) = socket.next().await {}
                    opened += 1;
                }
                Err((status, body)) => {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                    assert!(body.contains("gateway.breaker_open"), "{body}");
                    return opened;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let opened = in_time(all).await;
    assert!(opened >= 5, "{opened}");
    let metrics = stack.identity.metrics.scope("gateway").encode();
    assert!(metrics.contains("reason=\"service_broke\""), "{metrics}");
    stack.stop().await;
}

async fn handshakes_take_the_places_of_other_calls(mode: Mode) {
    let (gate, calls) = (Arc::new(Semaphore::new(0)), Arc::default());
    let (life, held) = (Lifecycle::new(), Arc::clone(&gate));
    let slow = echoing(&life).layer(axum::middleware::map_request(move |request: Request| {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.unwrap().forget();
            request
        }
    }));
    let services = [("telegram", counted(slow, &calls))];
    let stack = Stack::with(mode, services, |config| {
        config.upstreams.places = 2;
        config.upstreams.adaptive = 0;
        config.upstreams.queue = 0;
    })
    .await;
    let address = stack.listen().await;
    let headers = [bearer(&stack)];
    let two = async { tokio::join!(open(address, &headers), open(address, &headers)) };
    let (two, ()) = tokio::join!(two, async {
        while calls.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        let (status, body) = refusal(&stack, address).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("gateway.overloaded"), "{body}");
        gate.add_permits(3);
    });
    // Open sockets hold no places: they may be silent for hours.
    let third = open(address, &headers).await;
    assert!(two.0.is_ok() && two.1.is_ok() && third.is_ok());
    drop((two, third));
    stack.stop().await;
}
