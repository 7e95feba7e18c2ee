//! Row 7: WebSockets that say nothing.

use std::time::Duration;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{GUARDED_PATH, Policies, Rig};
use crate::gateway;
use crate::load::joined;
use crate::report::Goal;

/// Opened at the same time, not more.
const BATCH: usize = 50;

pub async fn run(rig: &mut Rig) -> anyhow::Result<()> {
    let count = if rig.args.quick { 500 } else { 5000 };
    let upstream = rig.mock.websocket;
    let gateway = rig
        .gateway("gateway-websockets", Policies::Full, upstream, &[])
        .await?;
    let bearer = gateway::bearer(&rig.ids)?;
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        let mut tasks = JoinSet::new();
        for _ in 0..BATCH {
            let (bearer, address) = (bearer.clone(), gateway.address());
            tasks.spawn(async move {
                let mut request = format!("ws://{address}{GUARDED_PATH}").into_client_request()?;
                request
                    .headers_mut()
                    .insert("authorization", bearer.parse()?);
                let stream = TcpStream::connect(address).await?;
                let (mut socket, _) = client_async(request, stream).await?;
                echo(&mut socket).await?;
                Ok(socket)
            });
        }
        sockets.extend(joined(tasks).await?);
    }
    // What opening them took is given back, or not.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mib = gateway.resident_bytes()? as f64 / f64::from(1 << 20);
    let what = format!("memory of the gateway with {count} idle WebSockets");
    rig.report
        .number(7, &what, Goal::AtMost(100.0), mib, " MiB");
    let last = sockets.last_mut().context("no socket")?;
    echo(last).await.context("the last socket has died")
}

/// Whether a message comes back as it was.
async fn echo(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<()> {
    socket.send(Message::text("is anybody there?")).await?;
    let answer = socket.next().await.context("closed")??;
    anyhow::ensure!(
        answer.to_text()? == "is anybody there?",
        "another message came back"
    );
    Ok(())
}
