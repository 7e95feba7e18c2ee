//! The methods of the API: what a client asks, and the bytes that answer it.

mod account;
mod channels;
mod files;
mod history;
mod updates;

pub(crate) use account::LOGIN_CODE;
pub(crate) use updates::update;

use grammers_tl_types::{self as tl, Cursor, Deserializable, Identifiable, Serializable};

use crate::center::Center;
use crate::world::{Channel, World};

/// A method's error, as Telegram words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: i32,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn bad(message: &str) -> Self {
        Self::new(400, message)
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// Number of the data centre that is asked.
    pub dc: i32,
    /// Identifier of the authorization key.
    pub key: i64,
    /// Who is logged in with it.
    pub user: Option<i64>,
    /// The layer that the client speaks.
    pub layer: i32,
}

impl Call {
    /// The user, or the refusal that asks to log in.
    fn user(self) -> Result<i64, Refusal> {
        let refusal = || Refusal::new(401, "AUTH_KEY_UNREGISTERED");
        self.user.ok_or_else(refusal)
    }
}

/// A request without its wrappers.
pub(crate) struct Request<'a> {
    /// Constructor of the method.
    pub id: u32,
    /// Its name, e.g. `messages.getHistory`; empty for those that this data centre lacks.
    pub name: &'static str,
    /// What follows the constructor.
    pub arguments: &'a [u8],
    /// Whether the client wants updates on this session.
    pub updates: bool,
    /// The layer that the client said it speaks, when it says so.
    pub layer: Option<i32>,
}

/// Reads a method's arguments, answers, and serialises the answer.
type Handler = fn(&Center, Call, &[u8]) -> Result<Vec<u8>, Refusal>;

/// A method that this data centre has.
struct Method {
    name: &'static str,
    id: u32,
    answer: Handler,
}

/// A table of methods: reads the arguments, answers with what the schema says the method returns.
macro_rules! methods {
    ($($name:literal $request:ty => $handler:path,)*) => {
        &[$(Method {
            name: $name,
            id: <$request as Identifiable>::CONSTRUCTOR_ID,
            answer: |center, call, bytes| {
                let request: $request = read(bytes)?;
                let answer: <$request as tl::RemoteCall>::Return = $handler(center, call, request)?;
                Ok(answer.to_bytes())
            },
        }),*]
    };
}

use tl::functions as f;

const METHODS: &[Method] = methods! {
    "account.updateStatus" f::account::UpdateStatus => account::update_status,
    "auth.exportAuthorization" f::auth::ExportAuthorization => account::export,
    "auth.importAuthorization" f::auth::ImportAuthorization => account::import,
    "auth.logOut" f::auth::LogOut => account::log_out,
    "auth.sendCode" f::auth::SendCode => account::send_code,
    "auth.signIn" f::auth::SignIn => account::sign_in,
    "channels.getChannels" f::channels::GetChannels => channels::get,
    "channels.getFullChannel" f::channels::GetFullChannel => channels::get_full,
    "channels.getMessages" f::channels::GetMessages => history::messages,
    "channels.getParticipant" f::channels::GetParticipant => channels::participant,
    "channels.getParticipants" f::channels::GetParticipants => channels::participants,
    "channels.joinChannel" f::channels::JoinChannel => channels::join,
    "channels.leaveChannel" f::channels::LeaveChannel => channels::leave,
    "channels.readHistory" f::channels::ReadHistory => channels::read_history,
    "contacts.resolveUsername" f::contacts::ResolveUsername => channels::resolve,
    "contacts.search" f::contacts::Search => channels::search,
    "help.getConfig" f::help::GetConfig => account::config,
    "help.getNearestDc" f::help::GetNearestDc => account::nearest,
    "messages.checkChatInvite" f::messages::CheckChatInvite => channels::check_invite,
    "messages.getDialogs" f::messages::GetDialogs => channels::dialogs,
    "messages.getHistory" f::messages::GetHistory => history::history,
    "messages.getMessagesViews" f::messages::GetMessagesViews => history::views,
    "messages.getPeerDialogs" f::messages::GetPeerDialogs => channels::peer_dialogs,
    "messages.getReplies" f::messages::GetReplies => history::replies,
    "messages.importChatInvite" f::messages::ImportChatInvite => channels::import_invite,
    "messages.search" f::messages::Search => history::search,
    "updates.getChannelDifference" f::updates::GetChannelDifference => updates::channel_difference,
    "updates.getDifference" f::updates::GetDifference => updates::difference,
    "updates.getState" f::updates::GetState => updates::state,
    "upload.getFile" f::upload::GetFile => files::get,
    "users.getFullUser" f::users::GetFullUser => account::full_user,
    "users.getUsers" f::users::GetUsers => account::users,
};

const INVOKE_AFTER: u32 = 0xcb9f_372d;
const INVOKE_WITHOUT_UPDATES: u32 = 0xbf94_59b7;
const INVOKE_WITH_LAYER: u32 = 0xda9b_0d0d;
const INIT_CONNECTION: u32 = 0xc1cd_5ea9;

/// Names of all methods, for the documentation and the tests.
pub fn names() -> Vec<&'static str> {
    METHODS.iter().map(|method| method.name).collect()
}

/// Takes the wrappers off a request.
pub(crate) fn unwrap(body: &[u8]) -> Result<Request<'_>, Refusal> {
    let mut rest = body;
    let mut updates = true;
    let mut layer = None;
    loop {
        let (id, arguments) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| Refusal::bad("INPUT_FETCH_ERROR"))?;
        let id = u32::from_le_bytes(*id);
        rest = match id {
            INVOKE_WITH_LAYER => {
                layer = Some(read::<i32>(arguments)?);
                skip(arguments, 4)?
            }
            INVOKE_AFTER => skip(arguments, 8)?,
            INVOKE_WITHOUT_UPDATES => {
                updates = false;
                arguments
            }
            INIT_CONNECTION => after_initialisation(arguments)?,
            _ => {
                let known = METHODS.iter().find(|method| method.id == id);
                return Ok(Request {
                    id,
                    name: known.map_or("", |method| method.name),
                    arguments,
                    updates,
                    layer,
                });
            }
        };
    }
}

/// Answers a request.
pub(crate) fn answer(
    center: &Center,
    call: Call,
    request: &Request<'_>,
) -> Result<Vec<u8>, Refusal> {
    let method = METHODS.iter().find(|method| method.id == request.id);
    match method {
        Some(method) => {
            let answer = (method.answer)(center, call, request.arguments)?;
            Ok(in_layer(call.layer, answer))
        }
        None => Err(Refusal::new(501, "METHOD_NOT_IMPLEMENTED")),
    }
}

/// An answer in the layer of the client. Of what is answered here one type alone differs between
/// the layers in use: joining returned plain `Updates` before layer 230 wrapped them.
fn in_layer(layer: i32, mut answer: Vec<u8>) -> Vec<u8> {
    let wrapped = tl::types::messages::ChatInviteJoinResultOk::CONSTRUCTOR_ID.to_le_bytes();
    if layer < 230 && answer.starts_with(&wrapped) {
        answer.drain(..4);
    }
    answer
}

fn skip(bytes: &[u8], count: usize) -> Result<&[u8], Refusal> {
    bytes
        .get(count..)
        .ok_or_else(|| Refusal::bad("INPUT_FETCH_ERROR"))
}

/// `initConnection` carries another request of any type behind its own fields.
fn after_initialisation(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let failed = |_| Refusal::bad("INPUT_FETCH_ERROR");
    let mut cursor = Cursor::from_slice(bytes);
    let flags = u32::deserialize(&mut cursor).map_err(failed)?;
    let api_id = i32::deserialize(&mut cursor).map_err(failed)?;
    if api_id == 0 {
        return Err(Refusal::bad("API_ID_INVALID"));
    }
    for _ in 0..6 {
        String::deserialize(&mut cursor).map_err(failed)?;
    }
    if flags & 1 != 0 {
        tl::enums::InputClientProxy::deserialize(&mut cursor).map_err(failed)?;
    }
    if flags & 2 != 0 {
        tl::enums::Jsonvalue::deserialize(&mut cursor).map_err(failed)?;
    }
    skip(bytes, cursor.pos())
}

fn read<T: Deserializable>(bytes: &[u8]) -> Result<T, Refusal> {
    T::from_bytes(bytes).map_err(|_| Refusal::bad("INPUT_FETCH_ERROR"))
}

/// The channel that a client means, if it may see it.
fn channel<'a>(
    world: &'a World,
    user: i64,
    wanted: &tl::enums::InputChannel,
) -> Result<&'a Channel, Refusal> {
    let (id, hash) = match wanted {
        tl::enums::InputChannel::Channel(channel) => {
            (channel.channel_id, Some(channel.access_hash))
        }
        tl::enums::InputChannel::FromMessage(channel) => (channel.channel_id, None),
        tl::enums::InputChannel::Empty => return Err(Refusal::bad("CHANNEL_INVALID")),
    };
    visible(world, user, id, hash)
}

/// The channel behind a peer, if it may be seen.
fn channel_of_peer<'a>(
    world: &'a World,
    user: i64,
    wanted: &tl::enums::InputPeer,
) -> Result<&'a Channel, Refusal> {
    match wanted {
        tl::enums::InputPeer::Channel(channel) => {
            visible(world, user, channel.channel_id, Some(channel.access_hash))
        }
        tl::enums::InputPeer::ChannelFromMessage(channel) => {
            visible(world, user, channel.channel_id, None)
        }
        _ => Err(Refusal::bad("PEER_ID_INVALID")),
    }
}

fn visible(world: &World, user: i64, id: i64, hash: Option<i64>) -> Result<&Channel, Refusal> {
    let channel = world
        .channel(id)
        .filter(|channel| hash.is_none_or(|hash| hash == channel.access_hash))
        .ok_or_else(|| Refusal::bad("CHANNEL_INVALID"))?;
    if channel.username.is_none() && !channel.members.contains(&user) {
        return Err(Refusal::bad("CHANNEL_PRIVATE"));
    }
    Ok(channel)
}
