//! WebSockets, against a server whose behaviour is known: it echoes to everybody, after a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_util::sync::CancellationToken;
use touchstone_load::report::Report;
use touchstone_load::runner::{self, Options};
use touchstone_load::scenario::{Overrides, Prepared, Scenario};
use touchstone_load::steps::Registry;

/// How long a message stays in the room before everybody gets it.
const STAY: Duration = Duration::from_millis(30);

/// What the room saw.
#[derive(Clone, Debug, Default)]
struct Seen {
    opened: Arc<Mutex<u64>>,
    messages: Arc<Mutex<u64>>,
    closed: Arc<Mutex<u64>>,
}

fn count(counter: &Mutex<u64>) -> u64 {
    *counter.lock().unwrap()
}

/// A room: every message goes to everybody, its sender included.
async fn room(listener: TcpListener, seen: Seen, over: CancellationToken) {
    let (everybody, _) = broadcast::channel(10_000);
    let mut visitors = JoinSet::new();
    while let Some(Ok((stream, _))) = over.run_until_cancelled(listener.accept()).await {
        visitors.spawn(visit(stream, everybody.clone(), seen.clone()));
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the form of the library's callback"
)]
fn greet(
    request: &Request,
    response: Response,
) -> Result<Response, http::Response<Option<String>>> {
    if request.uri().path() == "/room" {
        return Ok(response);
    }
    let mut refused = http::Response::new(None);
    *refused.status_mut() = http::StatusCode::NOT_FOUND;
    Err(refused)
}

async fn visit(mut stream: TcpStream, everybody: broadcast::Sender<String>, seen: Seen) {
    let mut head = [0; 5];
    if stream.peek(&mut head).await.is_err() {
        return;
    }
    let mut start = vec![0; 64];
    let length = stream.peek(&mut start).await.unwrap_or_default();
    if start[..length].starts_with(b"GET /ready") {
        let _ = stream.read(&mut [0; 1024]).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(answer).await;
        return;
    }
    let Ok(socket) = accept_hdr_async(stream, greet).await else {
        return;
    };
    *seen.opened.lock().unwrap() += 1;
    let mut room = everybody.subscribe();
    let (mut sink, mut source) = socket.split();
    let _ = sink.send(Message::text("welcome")).await;
    loop {
        tokio::select! {
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    *seen.messages.lock().unwrap() += 1;
                    tokio::time::sleep(STAY).await;
                    let _ = everybody.send(text.to_string());
                }
                Some(Ok(Message::Close(_))) => {
                    *seen.closed.lock().unwrap() += 1;
                    return;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            Ok(text) = room.recv() => {
                if sink.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn ran(text: &str) -> (Report, Seen) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let options = Options::plain(format!("http://{}", listener.local_addr().unwrap()));
    let (seen, over) = (Seen::default(), CancellationToken::new());
    let scenario = Scenario::parse("room", text).unwrap();
    let prepared = Prepared::new(
        scenario,
        &Overrides::default(),
        Registry::default(),
        Path::new("."),
    );
    let load = async {
        let ran = runner::run(
            prepared.unwrap(),
            &options,
            CancellationToken::new(),
            |_| {},
            |_| {},
        );
        let report = Box::pin(ran).await.unwrap();
        over.cancel();
        report
    };
    let (report, ()) = tokio::join!(load, room(listener, seen.clone(), over.clone()));
    (report, seen)
}

fn scenario(path: &str, more: &str) -> String {
    format!(
        r#"
        name = "room"
        about = "Of the tests."
        [[phases]]
        name = "all"
        load = {{ kind = "count", requests = 40, users = 4 }}
        [[classes]]
        name = "visitor"
        steps = [{{ step = "room" }}]
        [sockets.room]
        path = "{path}"
        send = '{{"stamp": "{{stamp}}", "n": {{n}}}}'
        expect = '"n": {{n}}'
        {more}
        "#
    )
}

/// Requests and errors by kind.
fn told(report: &Report) -> BTreeMap<&str, (u64, u64)> {
    let rows = report.rows.iter();
    rows.map(|row| (row.endpoint.as_str(), (row.requests, row.errors)))
        .collect()
}

#[tokio::test]
async fn users_keep_their_sockets_and_hear_themselves_and_the_others() {
    let (report, seen) = Box::pin(ran(&scenario("/room", ""))).await;
    let rows = told(&report);
    assert_eq!(rows["room.connect"], (4, 0), "{:?}", report.examples);
    assert_eq!(rows["room.message"], (40, 0), "{:?}", report.examples);
    assert_eq!((count(&seen.opened), count(&seen.messages)), (4, 40));
    // Whoever has left the room hears no more: everybody hears some of the others' and nobody more than all.
    let (heard, wrong) = rows["room.delivery"];
    assert!((1..=3 * 40).contains(&heard) && wrong == 0, "{rows:?}");
    for row in report
        .rows
        .iter()
        .filter(|row| row.endpoint != "room.connect")
    {
        let least = row.ms["total"].min;
        assert!(least >= 29.0, "{}: {least} ms", row.endpoint);
    }
}

#[tokio::test]
async fn sockets_that_are_not_kept_are_closed_in_good_form() {
    let (report, seen) = Box::pin(ran(&scenario("/room", "keep = false"))).await;
    let rows = told(&report);
    assert_eq!(rows["room.connect"], (40, 0), "{:?}", report.examples);
    assert_eq!(rows["room.message"], (40, 0), "{:?}", report.examples);
    assert_eq!(count(&seen.closed), 40);
}

#[tokio::test]
async fn a_target_that_speaks_no_websocket_there_is_told_so() {
    let (report, seen) = Box::pin(ran(&scenario("/nowhere", ""))).await;
    let rows = told(&report);
    assert_eq!(rows.get("room.connect"), Some(&(40, 40)));
    assert_eq!(rows.get("room.message"), None);
    assert!(report.examples[0].contains("404"), "{:?}", report.examples);
    assert_eq!(count(&seen.opened), 0);
}
