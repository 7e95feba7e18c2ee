//! Kept connections, over real sockets to an upstream that does what it is told to the byte.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use touchstone_client::{Endpoint, TransportError};

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(20);
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What the upstream does with one request.
#[derive(Clone, Copy)]
enum Step {
    /// Writes the bytes and waits for the next request.
    Answer(&'static [u8]),
    /// Writes the bytes and closes the connection.
    Last(&'static [u8]),
    /// Writes the bytes and tells when the other side has closed the connection.
    Hold(&'static [u8]),
    /// Writes the bytes and sends back what comes from then on.
    Echo(&'static [u8]),
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// A request, with this head, came on this connection.
    Request(usize, String),
    /// The upstream has closed the connection.
    Closed(usize),
    /// The client has.
    Left(usize),
}

struct Upstream {
    endpoint: Endpoint,
    events: mpsc::UnboundedReceiver<Event>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// One that takes these steps, request by request, and answers with a greeting after them.
    async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (told, events) = mpsc::unbounded_channel();
        let steps: Arc<Mutex<VecDeque<Step>>> = Arc::new(Mutex::new(steps.into_iter().collect()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(connection(number, stream, Arc::clone(&steps), told.clone()));
            }
        });
        Self {
            endpoint: Endpoint::new(format!("http://{address}").parse().unwrap()),
            events,
            _tasks: tasks,
        }
    }

    async fn event(&mut self) -> Event {
        timeout(BOUND, self.events.recv()).await.unwrap().unwrap()
    }

    /// The connection that the next request came on.
    async fn connection(&mut self) -> usize {
        match self.event().await {
            Event::Request(connection, _) => connection,
            other => unreachable!("{other:?} instead of a request"),
        }
    }

    async fn call(&self, method: Method) -> Result<Response<Body>, TransportError> {
        let request = Request::builder().method(method).uri("/work");
        let request = request.body(Body::from("load")).unwrap();
        let response = timeout(BOUND, self.endpoint.call(request)).await.unwrap();
        settle().await;
        response
    }

    async fn text(&self) -> String {
        text(self.call(Method::POST).await.unwrap()).await
    }
}

async fn connection(
    number: usize,
    mut stream: TcpStream,
    steps: Arc<Mutex<VecDeque<Step>>>,
    told: mpsc::UnboundedSender<Event>,
) {
    let mut buffer = Vec::new();
    loop {
        let Some(head) = request(&mut stream, &mut buffer).await else {
            let _ = told.send(Event::Left(number));
            return;
        };
        told.send(Event::Request(number, head)).unwrap();
        let step = steps.lock().unwrap().pop_front();
        match step.unwrap_or(Step::Answer(HELLO)) {
            Step::Answer(bytes) | Step::Hold(bytes) => stream.write_all(bytes).await.unwrap(),
            Step::Last(bytes) => {
                stream.write_all(bytes).await.unwrap();
                stream.shutdown().await.unwrap();
                told.send(Event::Closed(number)).unwrap();
                return;
            }
            Step::Echo(bytes) => {
                stream.write_all(bytes).await.unwrap();
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                return;
            }
        }
    }
}

/// The head of the next request; nothing when the other side has closed the connection.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                (name == "content-length").then(|| value.parse().unwrap())
            });
            let whole = end + 4 + length.unwrap_or(0_usize);
            if buffer.len() >= whole {
                buffer.drain(..whole);
                return Some(head);
            }
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// Lets whatever has come be noticed: on one thread, each turn looks at the sockets once.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn text(response: Response<Body>) -> String {
    let bytes = timeout(BOUND, response.into_body().collect())
        .await
        .unwrap();
    settle().await;
    String::from_utf8(bytes.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn whole_answers_of_every_framing_leave_one_connection_for_all_calls() {
    let answers: [(Method, &[u8], &str); 6] = [
        (Method::GET, HELLO, "hello"),
        (
            Method::GET,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n",
            "abc",
        ),
        (
            Method::HEAD,
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            "",
        ),
        (Method::DELETE, b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (
            Method::GET,
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            "",
        ),
        (
            Method::POST,
            b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
              HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "ok",
        ),
    ];
    let mut upstream =
        Upstream::start(answers.iter().map(|(_, bytes, _)| Step::Answer(bytes))).await;
    for (method, _, body) in &answers {
        let response = upstream.call(method.clone()).await.unwrap();
        assert_eq!(text(response).await, *body, "{method}");
        assert_eq!(upstream.connection().await, 0, "{method}");
    }
    assert_eq!(upstream.text().await, "hello");
}

#[tokio::test]
async fn calls_at_the_same_time_have_a_connection_each() {
    let part = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe";
    let mut upstream = Upstream::start([Step::Hold(part)]).await;
    let first = upstream.call(Method::GET).await.unwrap();
    assert_eq!(upstream.text().await, "hello");
    assert_eq!(
        (upstream.connection().await, upstream.connection().await),
        (0, 1)
    );
    drop(first);
    assert_eq!(upstream.event().await, Event::Left(0));
}

#[tokio::test]
async fn an_answer_that_nobody_read_to_its_end_closes_its_connection() {
    for part in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhalf of it"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let mut upstream = Upstream::start([Step::Hold(part)]).await;
        let mut response = upstream.call(Method::GET).await.unwrap();
        let frame = timeout(BOUND, response.body_mut().frame()).await.unwrap();
        assert!(frame.unwrap().unwrap().is_data());
        drop(response);
        assert_eq!(upstream.connection().await, 0);
        assert_eq!(upstream.event().await, Event::Left(0));
        assert_eq!(upstream.text().await, "hello");
        assert_eq!(upstream.connection().await, 1);
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_before_its_answer_closes_its_connection() {
    let mut upstream = Upstream::start([Step::Answer(HELLO), Step::Hold(b"")]).await;
    assert_eq!(upstream.text().await, "hello");
    assert_eq!(upstream.connection().await, 0);
    let request = Request::post("/work").body(Body::from("load")).unwrap();
    let mut call = Box::pin(upstream.endpoint.call(request));
    tokio::select! {
        _ = &mut call => unreachable!("nothing was answered"),
        event = upstream.events.recv() => assert!(matches!(event, Some(Event::Request(0, _)))),
    }
    drop(call);
    assert_eq!(upstream.event().await, Event::Left(0));
    assert_eq!(upstream.text().await, "hello");
    assert_eq!(upstream.connection().await, 1);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_call() {
    let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
    for last in [HELLO, close] {
        let mut upstream = Upstream::start([Step::Last(last); 3]).await;
        for number in 0..3 {
            assert_eq!(upstream.text().await, "hello");
            assert_eq!(upstream.connection().await, number);
            let closed = upstream.event().await;
            assert!(matches!(closed, Event::Closed(_)), "{closed:?}");
            settle().await;
        }
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_seen_is_not_sent_again() {
    let mut upstream = Upstream::start([Step::Answer(HELLO), Step::Last(b"")]).await;
    assert_eq!(upstream.text().await, "hello");
    let unanswered = upstream.call(Method::POST).await;
    assert!(
        matches!(unanswered, Err(TransportError::Broken(_))),
        "{unanswered:?}"
    );
    assert_eq!(upstream.text().await, "hello");
    let mut requests = Vec::new();
    while requests.len() < 3 {
        if let Event::Request(connection, _) = upstream.event().await {
            requests.push(connection);
        }
    }
    assert_eq!(requests, [0, 0, 1]);
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_answers_no_later_call() {
    let two = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello\
        HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let mut upstream = Upstream::start([Step::Answer(two)]).await;
    assert_eq!(upstream.text().await, "hello");
    assert_eq!(upstream.text().await, "hello");
    assert_eq!(upstream.connection().await, 0);
}

#[tokio::test]
async fn a_connection_of_another_protocol_is_not_kept() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let mut upstream = Upstream::start([Step::Echo(switch)]).await;
    let request = Request::get("/work")
        .header("connection", "upgrade")
        .header("upgrade", "x")
        .body(Body::empty())
        .unwrap();
    let mut response = upstream.endpoint.call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgraded = timeout(BOUND, hyper::upgrade::on(&mut response)).await;
    drop(response);
    let mut stream = TokioIo::new(upgraded.unwrap().unwrap());
    assert_eq!(upstream.text().await, "hello");
    assert_eq!(
        (upstream.connection().await, upstream.connection().await),
        (0, 1)
    );
    stream.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    timeout(BOUND, stream.read_exact(&mut echoed))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&echoed, b"ping");
}

#[tokio::test]
async fn a_connection_that_was_idle_too_long_is_not_used_again() {
    let mut upstream = Upstream::start([]).await;
    for (pause, connection) in [(0, 0), (3, 0), (5, 1)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(pause)).await;
        tokio::time::resume();
        assert_eq!(upstream.text().await, "hello");
        loop {
            match upstream.event().await {
                Event::Request(came_on, _) => break assert_eq!(came_on, connection),
                Event::Left(_) | Event::Closed(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn a_request_names_the_upstream_as_its_host_and_a_path_only() {
    let mut upstream = Upstream::start([]).await;
    let authority = upstream.endpoint.base().authority().unwrap().to_string();
    let request = Request::get("http://elsewhere.example/a?b=c")
        .version(Version::HTTP_2)
        .header("host", "elsewhere.example");
    let request = request.body(Body::empty()).unwrap();
    let response = upstream.endpoint.call(request).await.unwrap();
    assert_eq!(text(response).await, "hello");
    let head = format!("GET /a?b=c HTTP/1.1\r\nhost: {authority}");
    assert_eq!(upstream.event().await, Event::Request(0, head));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::new(format!("http://{address}").parse().unwrap());
    let request = Request::get("/").body(Body::empty()).unwrap();
    let refused = endpoint.call(request).await;
    assert!(
        matches!(refused, Err(TransportError::Connect(_))),
        "{refused:?}"
    );
}
