//! The control API: what happens in the world, what goes wrong, and what is true.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Simulator;
use crate::faults::Armed;
use crate::world::{Media, Post, Slot};

/// A post to publish.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostRequest {
    /// Its text.
    pub text: String,
    /// The post that it answers.
    #[serde(default)]
    pub reply_to: Option<i32>,
    /// Album that it belongs to.
    #[serde(default)]
    pub grouped_id: Option<i64>,
    /// Views at the start.
    #[serde(default)]
    pub views: i32,
    /// Bytes of a photograph to attach.
    #[serde(default)]
    pub photo: Option<i32>,
}

impl PostRequest {
    /// A post of text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    pub(crate) fn into_post(self, now: i32) -> Post {
        Post {
            id: 0,
            date: now,
            text: self.text,
            views: self.views,
            forwards: 0,
            reply_to: self.reply_to,
            grouped_id: self.grouped_id,
            // The id is set when the number is known.
            media: self.photo.map(|size| Media::Photo { id: 0, size }),
            edit_date: None,
            author: None,
        }
    }
}

/// What is true of a channel now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelTruth {
    /// Bare id.
    pub id: i64,
    /// Public name.
    pub username: Option<String>,
    /// Title.
    pub title: String,
    /// Hash of its invite link.
    pub invite: Option<String>,
    /// Whether members write.
    pub group: bool,
    /// Newest number that was given.
    pub last_id: i32,
    /// Messages that exist, service messages among them.
    pub count: i32,
    /// State.
    pub pts: i32,
    /// Bare ids of the members who can log in.
    pub members: Vec<i64>,
}

/// What is true of a channel's posts now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// The channel.
    pub channel: ChannelTruth,
    /// Its posts, oldest first, views as they are told now.
    pub posts: Vec<Post>,
    /// Numbers of service messages.
    pub service: Vec<i32>,
}

impl Simulator {
    /// All channels.
    pub fn channels(&self) -> Vec<ChannelTruth> {
        self.read(|world| world.channels().map(truth_of).collect())
    }

    /// What is true of the channel with a bare id.
    pub fn truth(&self, channel: i64) -> Option<Truth> {
        self.read(|world| {
            let ticks = world.ticks();
            let channel = world.channel(channel)?;
            let (mut posts, mut service) = (Vec::new(), Vec::new());
            for id in 1..=channel.last_id() {
                match channel.slot(id) {
                    Slot::Hole => {}
                    Slot::Service => service.push(id),
                    Slot::Post(mut post) => {
                        let growth = ticks.saturating_mul(1 + post.views / 1_000);
                        post.views = post.views.saturating_add(growth);
                        posts.push(post);
                    }
                }
            }
            Some(Truth {
                channel: truth_of(channel),
                posts,
                service,
            })
        })
    }
}

fn truth_of(channel: &crate::world::Channel) -> ChannelTruth {
    ChannelTruth {
        id: channel.id,
        username: channel.username.clone(),
        title: channel.title.clone(),
        invite: channel.invite.clone(),
        group: channel.group,
        last_id: channel.last_id(),
        count: channel.count(),
        pts: channel.pts(),
        members: channel.members.iter().copied().collect(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    title: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    ids: Vec<i32>,
}

/// Routes of the control API.
pub(crate) fn router(simulator: Simulator) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/channels", get(channels))
        .route("/channels/{id}", get(truth).post(rename))
        .route("/channels/{id}/posts", post(publish))
        .route("/channels/{id}/posts/{number}", post(edit))
        .route("/channels/{id}/posts", delete(remove))
        .route("/faults", get(fired).post(arm).delete(disarm))
        .route("/calls", get(calls))
        .route("/tick", post(tick))
        .with_state(simulator)
}

/// JSON without the rejections of a public API: this one is for tests on the same machine.
fn body<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn refused(why: String) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, why).into_response()
}

fn answer(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([("content-type", "application/json")], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "there is no such channel or post").into_response()
}

async fn overview(State(simulator): State<Simulator>) -> Response {
    let public_key = simulator.public_key().unwrap_or_default();
    answer(&json!({
        "address": simulator.address().to_string(),
        "session": simulator.session(),
        "public_key": public_key,
        "connected": simulator.connected(),
        "methods": crate::methods(),
        "phones": simulator.read(|world| {
            world.users.iter().map(|user| user.phone.clone()).collect::<Vec<_>>()
        }),
        "code": crate::rpc::LOGIN_CODE,
        "proxy_secret": simulator.proxy_secret(),
    }))
}

async fn channels(State(simulator): State<Simulator>) -> Response {
    answer(&simulator.channels())
}

async fn truth(State(simulator): State<Simulator>, Path(id): Path<i64>) -> Response {
    simulator
        .truth(id)
        .map_or_else(unknown, |truth| answer(&truth))
}

async fn rename(
    State(simulator): State<Simulator>,
    Path(id): Path<i64>,
    bytes: axum::body::Bytes,
) -> Response {
    match body::<Rename>(&bytes) {
        Ok(request) if simulator.rename(id, &request.title) => answer(&json!({})),
        Ok(_) => unknown(),
        Err(why) => refused(why),
    }
}

async fn publish(
    State(simulator): State<Simulator>,
    Path(id): Path<i64>,
    bytes: axum::body::Bytes,
) -> Response {
    match body(&bytes) {
        Ok(request) => match simulator.post(id, request) {
            Some(number) => answer(&json!({ "id": number })),
            None => unknown(),
        },
        Err(why) => refused(why),
    }
}

async fn edit(
    State(simulator): State<Simulator>,
    Path((id, number)): Path<(i64, i32)>,
    bytes: axum::body::Bytes,
) -> Response {
    match body::<Edit>(&bytes) {
        Ok(request) if simulator.edit(id, number, &request.text) => answer(&json!({})),
        Ok(_) => unknown(),
        Err(why) => refused(why),
    }
}

async fn remove(
    State(simulator): State<Simulator>,
    Path(id): Path<i64>,
    bytes: axum::body::Bytes,
) -> Response {
    match body::<Delete>(&bytes) {
        Ok(request) => answer(&json!({ "deleted": simulator.delete(id, &request.ids) })),
        Err(why) => refused(why),
    }
}

async fn fired(State(simulator): State<Simulator>) -> Response {
    answer(&simulator.fired())
}

async fn arm(State(simulator): State<Simulator>, bytes: axum::body::Bytes) -> Response {
    match body::<Armed>(&bytes) {
        Ok(armed) => {
            simulator.arm(armed);
            answer(&json!({}))
        }
        Err(why) => refused(why),
    }
}

async fn disarm(State(simulator): State<Simulator>) -> Response {
    simulator.disarm();
    answer(&json!({}))
}

async fn calls(State(simulator): State<Simulator>) -> Response {
    answer(&simulator.calls())
}

async fn tick(State(simulator): State<Simulator>) -> Response {
    simulator.tick();
    answer(&json!({}))
}
