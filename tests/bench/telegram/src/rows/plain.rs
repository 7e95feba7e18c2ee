//! The baseline: a program that reads a channel's history and follows its updates with
//! grammers-client alone, as its documentation shows, and tries again what failed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use grammers_client::Client;
use grammers_client::client::{ClientConfiguration, UpdateStream};
use grammers_client::peer::Peer;
use grammers_client::update::Update;
use grammers_mtsender::{InvocationError, SenderPool, UpdatesConfiguration};
use grammers_session::SessionData;
use grammers_session::storages::MemorySession;
use grammers_session::types::{DcOption, PeerRef};
use grammers_session::updates::UpdatesLike;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::Schedule;

use super::schedules::Outcome;
use super::{Difference, Posts, truth};
use crate::served::data_centre;

/// Without an update for so long nothing comes any more.
const QUIET: Duration = Duration::from_secs(3);
/// How often a call is tried again.
const ATTEMPTS: u32 = 5;
/// Longest time of a call: the library waits for a silent connection without end.
const CALL: Duration = Duration::from_secs(5);

/// Plays a schedule against grammers alone.
pub(super) async fn play(seed: u64) -> anyhow::Result<Outcome> {
    let schedule = Schedule::seeded(seed);
    let centre = Lifecycle::new();
    let simulator = data_centre(schedule.scenario.clone(), &centre).await?;
    let life = Lifecycle::new();
    let session = Arc::new(MemorySession::from(session(simulator.session())?));
    let pool = SenderPool::new(session, 1);
    let client = Client::with_configuration(pool.handle, ClientConfiguration::default());
    life.spawn("grammers", pool.runner.run());
    let follower = follow(&client, pool.updates);
    let (posts, ()) = tokio::join!(follower, schedule.play(&simulator));
    let posts = posts.unwrap_or_default();
    let outcome = Outcome {
        seed,
        difference: Difference::between(&posts, &truth(&simulator, Schedule::CHANNEL)),
        complete: true,
        fired: simulator.fired(),
        ..Outcome::default()
    };
    life.shutdown(Duration::from_secs(1)).await;
    centre.shutdown(Duration::from_secs(1)).await;
    Ok(outcome)
}

/// Reads the history, then follows the updates until nothing comes any more.
async fn follow(client: &Client, updates: Receiver<UpdatesLike>) -> anyhow::Result<Posts> {
    let found = again(async || find(client).await).await?;
    let channel = found.context("no channel")?;
    // So the library knows the channel's state.
    again(async || {
        let mut dialogs = client.iter_dialogs();
        while dialogs.next().await?.is_some() {}
        Ok(())
    })
    .await?;
    let configuration = UpdatesConfiguration { catch_up: true };
    let stream = client.stream_updates(updates, configuration).await;
    let mut stream = stream.map_err(|error| anyhow::anyhow!("{error}"))?;
    let read = async || -> Result<Posts, InvocationError> {
        let (mut posts, mut messages) = (Posts::new(), client.iter_messages(channel));
        while let Some(message) = messages.next().await? {
            if message.action().is_none() {
                posts.insert(message.id(), message.text().to_owned());
            }
        }
        Ok(posts)
    };
    // What was read before the library broke for good is what the program has.
    let mut posts = again(read).await.unwrap_or_default();
    listen(&mut stream, &mut posts).await;
    Ok(posts)
}

async fn listen(stream: &mut UpdateStream, posts: &mut Posts) {
    let mut failures = 0;
    while let Ok(update) = timeout(QUIET, stream.next()).await {
        match update {
            Ok(Update::NewMessage(message) | Update::MessageEdited(message)) => {
                posts.insert(message.id(), message.text().to_owned());
            }
            Ok(Update::MessageDeleted(deletion)) => {
                for id in deletion.messages() {
                    posts.remove(id);
                }
            }
            Ok(_) => {}
            Err(_) if failures < ATTEMPTS => failures += 1,
            Err(_) => return,
        }
    }
}

async fn find(client: &Client) -> Result<Option<PeerRef>, InvocationError> {
    let Some(Peer::Channel(channel)) = client.resolve_username(Schedule::NAME).await? else {
        return Ok(None);
    };
    Ok(channel.to_ref().await.ok().flatten())
}

/// Calls again what failed, a few times.
async fn again<T>(call: impl AsyncFn() -> Result<T, InvocationError>) -> anyhow::Result<T> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match timeout(CALL, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if attempt == ATTEMPTS => return Err(error.into()),
            Err(late) if attempt == ATTEMPTS => return Err(late.into()),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// A Telethon session as grammers wants it.
fn session(text: &str) -> anyhow::Result<SessionData> {
    let text = text.strip_prefix('1').context("another version")?;
    let bytes = base64::engine::general_purpose::URL_SAFE.decode(text)?;
    let [dc, a, b, c, d, high, low, key @ ..] = &bytes[..] else {
        anyhow::bail!("a short session");
    };
    let port = u16::from_be_bytes([*high, *low]);
    let dc = i32::from(*dc);
    let mut data = SessionData {
        home_dc: dc,
        ..SessionData::default()
    };
    let option = DcOption {
        id: dc,
        ipv4: std::net::SocketAddrV4::new([*a, *b, *c, *d].into(), port),
        ipv6: std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, port, 0, 0),
        auth_key: Some(key.try_into()?),
    };
    data.dc_options.insert(dc, option);
    Ok(data)
}
