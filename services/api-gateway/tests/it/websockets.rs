use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};
use touchstone_lifecycle::Lifecycle;

use crate::support::{Mode, PATIENCE, Stack, over_both_transports};

over_both_transports!(
    messages_pass_both_ways_and_the_close_too,
    nobody_passes_without_a_credential_or_from_another_page,
    browsers_bring_their_credential_among_the_protocols,
    a_service_that_wants_no_socket_answers_as_it_likes,
    an_expired_token_closes_the_socket,
    a_stop_closes_the_socket,
    silence_closes_the_socket,
    there_are_no_more_sockets_than_allowed,
    a_client_that_vanishes_frees_the_service,
);

pub type Socket = WebSocketStream<TcpStream>;

/// A service that echoes every message; tells its headers in the first one.
pub fn echoing(life: &Lifecycle) -> Router {
    let life = life.clone();
    Router::new().fallback(move |request: Request| {
        let life = life.clone();
        async move { echo(&life, request) }
    })
}

fn echo(life: &Lifecycle, mut request: Request) -> Response {
    let headers = request.headers().clone();
    let Some(key) = headers.get("sec-websocket-key") else {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    life.spawn("echo", async move {
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        let stream = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        let told: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        socket.send(Message::text(told.join("\n"))).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
    });
    (
        StatusCode::SWITCHING_PROTOCOLS,
        [
            ("connection", "upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-accept", accept),
        ],
    )
        .into_response()
}

async fn stack(mode: Mode, change: impl FnOnce(&mut touchstone_api_gateway::Config)) -> Stack {
    let life = Lifecycle::new();
    let stack = Stack::with(mode, [("telegram", echoing(&life))], change).await;
    stack.listen().await;
    stack
}

pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it did not happen")
}

/// Opens a socket with these headers, or tells the status and the code of the refusal.
pub async fn open(
    address: SocketAddr,
    headers: &[(&'static str, String)],
) -> Result<(Socket, HeaderMap), (StatusCode, String)> {
    let mut request = format!("ws://{address}/channels/live")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    // Proxies in front add words of their own.
    request
        .headers_mut()
        .insert("connection", "keep-alive, Upgrade".parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    match in_time(client_async(request, stream)).await {
        Ok((socket, response)) => Ok((socket, response.headers().clone())),
        Err(SocketError::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            Err((
                response.status(),
                String::from_utf8_lossy(&body).into_owned(),
            ))
        }
        Err(error) => panic!("{error}"),
    }
}

pub fn bearer(stack: &Stack) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", stack.token))
}

/// A socket of the stack's caller, whose first message has been read.
async fn socket(stack: &Stack, address: SocketAddr) -> Socket {
    let (mut socket, _) = open(address, &[bearer(stack)]).await.unwrap();
    in_time(socket.next()).await.unwrap().unwrap();
    socket
}

/// The code and the reason of the close that must come.
pub async fn closed(socket: &mut Socket) -> (u16, String) {
    loop {
        match in_time(socket.next()).await {
            Some(Ok(Message::Close(Some(close)))) => {
                return (close.code.into(), close.reason.to_string());
            }
            Some(Ok(_)) => {}
            other => panic!("no close: {other:?}"),
        }
    }
}

async fn messages_pass_both_ways_and_the_close_too(mode: Mode) {
    let stack = stack(mode, |_| ()).await;
    let address = stack.listen().await;
    let (mut socket, _) = open(address, &[bearer(&stack)]).await.unwrap();
    let told = in_time(socket.next())
        .await
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap();
    assert!(told.contains("x-client-address: 127.0.0.1"), "{told}");
    assert!(told.contains("x-request-id: "), "{told}");
    for message in [
        Message::text("привет"),
        Message::binary(vec![7; 200_000]),
        Message::text(""),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(in_time(socket.next()).await.unwrap().unwrap(), message);
    }
    socket.send(Message::Ping("p".into())).await.unwrap();
    assert_eq!(
        in_time(socket.next()).await.unwrap().unwrap(),
        Message::Pong("p".into())
    );
    let metrics = stack.identity.metrics.scope("gateway").encode();
    assert!(
        metrics.contains("touchstone_gateway_open_websockets 1"),
        "{metrics}"
    );
    socket.close(None).await.unwrap();
    while in_time(socket.next())
        .await
        .is_some_and(|message| message.is_ok())
    {}
    drop(socket);
    stack.stop().await;
}

async fn nobody_passes_without_a_credential_or_from_another_page(mode: Mode) {
    let stack = stack(mode, |config| {
        config.cors.origins = vec!["https://app.example".to_owned()];
    })
    .await;
    let address = stack.listen().await;
    let refused = async |headers: &[(&'static str, String)]| open(address, headers).await.err();
    let (status, body) = refused(&[]).await.unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("auth.missing_credential"), "{body}");
    let (status, _) = refused(&[("authorization", "Bearer test-load-token-1".into())])
        .await
        .unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.evil.com",
    ] {
        let headers = [bearer(&stack), ("origin", origin.to_owned())];
        let (status, body) = refused(&headers).await.unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN, "{origin}");
        assert!(body.contains("gateway.origin_refused"), "{body}");
    }
    for origin in [
        "https://app.example".to_owned(),
        format!("http://{address}"),
    ] {
        let headers = [bearer(&stack), ("origin", origin.clone())];
        assert!(refused(&headers).await.is_none(), "{origin}");
    }
    stack.stop().await;
}

async fn browsers_bring_their_credential_among_the_protocols(mode: Mode) {
    let stack = stack(mode, |_| ()).await;
    let address = stack.listen().await;
    let protocols = format!("touchstone, bearer.{}", stack.token);
    let (mut socket, headers) = open(address, &[("sec-websocket-protocol", protocols)])
        .await
        .unwrap();
    // Browsers give up unless one of theirs is chosen; the credential is never sent back.
    assert_eq!(headers["sec-websocket-protocol"], "touchstone");
    let told = in_time(socket.next())
        .await
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap();
    assert!(
        told.contains("sec-websocket-protocol: touchstone"),
        "{told}"
    );
    assert!(
        told.contains(&format!("authorization: Bearer {}", stack.token)),
        "{told}"
    );
    let bad = [("sec-websocket-protocol", "touchstone, bearer.x".to_owned())];
    assert_eq!(
        open(address, &bad).await.err().unwrap().0,
        StatusCode::UNAUTHORIZED
    );
    drop(socket);
    stack.stop().await;
}

async fn a_service_that_wants_no_socket_answers_as_it_likes(mode: Mode) {
    let refusing = Router::new().fallback(async || (StatusCode::IM_A_TEAPOT, "no"));
    let stack = Stack::start(mode, [("telegram", refusing)]).await;
    let address = stack.listen().await;
    let (status, _) = open(address, &[bearer(&stack)]).await.err().unwrap();
    assert_eq!(status, StatusCode::IM_A_TEAPOT);
    stack.stop().await;
}

async fn an_expired_token_closes_the_socket(mode: Mode) {
    let stack = stack(mode, |config| {
        config.websocket.judge = Duration::from_millis(20);
    })
    .await;
    let address = stack.listen().await;
    let mut socket = socket(&stack, address).await;
    socket.send(Message::text("x")).await.unwrap();
    assert_eq!(
        in_time(socket.next()).await.unwrap().unwrap(),
        Message::text("x")
    );
    stack.identity.clock.advance(Duration::from_hours(2));
    assert_eq!(closed(&mut socket).await.0, 4401);
    stack.stop().await;
}

async fn a_stop_closes_the_socket(mode: Mode) {
    let stack = stack(mode, |_| ()).await;
    let address = stack.listen().await;
    let mut socket = socket(&stack, address).await;
    let ((), code) = tokio::join!(stack.stop(), async { closed(&mut socket).await.0 });
    assert_eq!(code, u16::from(CloseCode::Away));
}

async fn silence_closes_the_socket(mode: Mode) {
    let stack = stack(mode, |config| {
        config.websocket.idle = Duration::from_millis(50);
    })
    .await;
    let address = stack.listen().await;
    let mut socket = socket(&stack, address).await;
    let (code, reason) = closed(&mut socket).await;
    assert_eq!((code, reason.contains("idle")), (1001, true), "{reason}");
    stack.stop().await;
}

async fn there_are_no_more_sockets_than_allowed(mode: Mode) {
    let stack = stack(mode, |config| config.websocket.connections = 1).await;
    let address = stack.listen().await;
    let first = socket(&stack, address).await;
    let (status, body) = open(address, &[bearer(&stack)]).await.err().unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("gateway.too_many_websockets"), "{body}");
    drop(first);
    in_time(async {
        while open(address, &[bearer(&stack)]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stack.stop().await;
}

async fn a_client_that_vanishes_frees_the_service(mode: Mode) {
    let stack = stack(mode, |_| ()).await;
    let address = stack.listen().await;
    let socket = socket(&stack, address).await;
    // No close, no end: the connection is reset.
    let stream = socket.into_inner();
    stream.set_zero_linger().unwrap();
    drop(stream);
    in_time(async {
        loop {
            let metrics = stack.identity.metrics.scope("gateway").encode();
            if metrics.contains("touchstone_gateway_open_websockets 0") {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_no_socket() {
    let stack = stack(Mode::InProcess, |_| ()).await;
    let address = stack.listen().await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /channels/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close, upgraded\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        stack.token,
        tokio_tungstenite::tungstenite::handshake::client::generate_key(),
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(connection.read_to_string(&mut answer))
        .await
        .unwrap();
    // The service agreed to what nobody had asked for.
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    stack.stop().await;
}
