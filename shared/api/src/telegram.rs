//! telegram: channels, posts, exports. These shapes are older than this service: clients depend on
//! them, so they wrap answers in `success`, `message` and `data`.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How an answer is wrapped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Wrapped<T> {
    /// Always true; failures are problems.
    pub success: bool,
    /// What was done, in words.
    pub message: String,
    /// The answer.
    pub data: T,
}

impl<T> Wrapped<T> {
    /// A success.
    pub fn new(message: impl Into<String>, data: T) -> Self {
        Self {
            success: true,
            message: message.into(),
            data,
        }
    }
}

/// `POST /channels/parse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseRequest {
    /// `durov`, `@durov`, a `t.me` link, or an invite link of a channel that was joined.
    #[schema(min_length = 1, max_length = 256, examples("durov"))]
    pub channel_username: String,
    /// Newest posts to take, 1 to 10,000.
    #[serde(default = "some")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub limit: u32,
}

fn some() -> u32 {
    100
}

/// A post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Post {
    /// Number in its channel.
    pub message_id: i32,
    /// Bare id of the channel.
    pub channel_id: i64,
    /// Title of the channel.
    pub channel_title: String,
    /// Public name of the channel.
    pub channel_username: Option<String>,
    /// Text.
    pub text: String,
    /// When it was posted, RFC 3339 in UTC.
    pub date: String,
    /// Who wrote it: a user's id, or the channel in the form of the Bot API (`-100…`).
    pub sender_id: i64,
    /// Views, where they are counted.
    pub views: Option<i32>,
    /// Forwards, where they are counted.
    pub forwards: Option<i32>,
    /// The post that it answers.
    pub reply_to_msg_id: Option<i32>,
    /// `photo`, `document` or another kind of media.
    pub media_type: Option<String>,
    /// This service's own path to the media.
    pub media_url: Option<String>,
    /// How it came here.
    pub sync_type: SyncType,
}

/// How a post came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SyncType {
    /// Asked for by a caller.
    Realtime,
    /// Read from the channel's history.
    Backfill,
    /// Told by Telegram when it happened.
    Update,
}

/// Names of the export files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportFiles {
    /// JSON.
    pub json: String,
    /// Text.
    pub txt: String,
}

/// Answer of `POST /channels/parse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Parsed {
    /// The posts, newest first.
    pub posts: Vec<Post>,
    /// The channel as it was asked for.
    pub channel: String,
    /// How many posts there are.
    pub total_parsed: usize,
    /// The exports that were written.
    pub files: ExportFiles,
}

/// A channel of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// Bare id.
    pub id: i64,
    /// Title.
    pub title: String,
    /// Public name.
    pub username: Option<String>,
    /// Members, where they are told.
    pub participants: Option<i32>,
    /// Number of the newest message.
    pub last_message_id: i32,
}

/// `POST /channels/join` and `/channels/leave`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelRequest {
    /// As in [`ParseRequest`].
    #[schema(min_length = 1, max_length = 256)]
    pub channel_username: String,
}

/// Query of `GET /channels/{id}/messages`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessagesQuery {
    /// Posts per page, 1 to 1,000 (default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Only posts with smaller numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub before: Option<i32>,
    /// Only posts with larger numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0)]
    pub after: Option<i32>,
}

/// An export file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportFile {
    /// Name.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, RFC 3339 in UTC.
    pub created: String,
}

/// Channels of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channels {
    /// The channels, those with the newest posts first.
    pub channels: Vec<Channel>,
}

/// The channel that was joined or left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    /// Bare id.
    pub id: i64,
    /// Title.
    pub title: String,
    /// Public name.
    pub username: Option<String>,
    /// Whether the account is a member now.
    pub joined: bool,
}

/// Posts of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Messages {
    /// The posts, newest first.
    pub posts: Vec<Post>,
}

/// The exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportList {
    /// The files, newest first.
    pub files: Vec<ExportFile>,
}

/// Whether a channel is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Following {
    /// Bare id.
    pub channel_id: i64,
    /// Whether the caller follows it now.
    pub following: bool,
}

/// Numbers from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NumberSpan {
    /// First.
    pub low: i32,
    /// Last.
    pub high: i32,
}

/// Numbers without a post, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holes {
    /// Posts that were there and are gone.
    pub deleted: Vec<NumberSpan>,
    /// Service messages.
    pub service: Vec<NumberSpan>,
    /// Never seen: gone before anybody looked, or never given.
    pub absent: Vec<NumberSpan>,
}

/// Digests over what is stored, block by block, each link holding the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DigestChain {
    /// Numbers per block.
    pub block_size: i32,
    /// Blocks.
    pub blocks: u32,
    /// SHA-256 of the last link, hex.
    pub head: String,
    /// Blocks whose posts are not those that were stored.
    pub broken: Vec<i32>,
}

/// How complete what is known of a channel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Completeness {
    /// Bare id.
    pub channel_id: i64,
    /// Whether the caller follows it.
    pub following: bool,
    /// Whether every number up to the last one is accounted for, and the chain holds.
    pub complete: bool,
    /// Telegram's state of the channel up to which changes were taken; 0 before the first.
    pub pts: i32,
    /// Newest number that was ever seen.
    pub last_message_id: i32,
    /// Posts that are held.
    pub posts: u64,
    /// Numbers that are accounted for.
    pub intervals: Vec<NumberSpan>,
    /// Numbers that are not, and are being read.
    pub missing: Vec<NumberSpan>,
    /// Why numbers have no post.
    pub holes: Holes,
    /// Digests over what is stored.
    pub chain: DigestChain,
    /// Why it cannot be brought up to date at present.
    pub trouble: Option<String>,
}
