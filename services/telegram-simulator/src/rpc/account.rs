//! Logging in, users, configuration.

use grammers_tl_types as tl;
use tl::functions as f;

use super::{Call, Refusal};
use crate::center::Center;
use crate::objects;
use crate::world::{User, World};

/// The code that every login accepts.
pub(crate) const LOGIN_CODE: &str = "22222";

/// Ties `auth.signIn` to `auth.sendCode`.
const CODE_HASH: &str = "simulated";

#[expect(clippy::unnecessary_wraps, reason = "every method has the same shape")]
pub(super) fn config(
    center: &Center,
    call: Call,
    _: f::help::GetConfig,
) -> Result<tl::enums::Config, Refusal> {
    Ok(objects::config(call.dc, center.places(), center.now()))
}

#[expect(clippy::unnecessary_wraps, reason = "every method has the same shape")]
pub(super) fn nearest(
    _: &Center,
    call: Call,
    _: f::help::GetNearestDc,
) -> Result<tl::enums::NearestDc, Refusal> {
    let nearest = tl::types::NearestDc {
        country: "XX".into(),
        this_dc: call.dc,
        nearest_dc: objects::DC,
    };
    Ok(nearest.into())
}

pub(super) fn update_status(
    _: &Center,
    call: Call,
    _: f::account::UpdateStatus,
) -> Result<bool, Refusal> {
    call.user().map(|_| true)
}

pub(super) fn users(
    center: &Center,
    call: Call,
    request: f::users::GetUsers,
) -> Result<Vec<tl::enums::User>, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let found = request.id.iter().map(|wanted| {
        let empty = |id| tl::types::UserEmpty { id }.into();
        match user_of(&world, me, wanted) {
            Some(user) => objects::user(&user, me),
            None => empty(0),
        }
    });
    Ok(found.collect())
}

pub(super) fn full_user(
    center: &Center,
    call: Call,
    request: f::users::GetFullUser,
) -> Result<tl::enums::users::UserFull, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let user = user_of(&world, me, &request.id).ok_or_else(|| Refusal::bad("USER_ID_INVALID"))?;
    let full = tl::types::users::UserFull {
        full_user: objects::full_user(&user),
        chats: Vec::new(),
        users: vec![objects::user(&user, me)],
    };
    Ok(full.into())
}

fn user_of(world: &World, me: i64, wanted: &tl::enums::InputUser) -> Option<User> {
    match wanted {
        tl::enums::InputUser::UserSelf => Some(world.user(me)),
        tl::enums::InputUser::User(wanted) => {
            let user = world.user(wanted.user_id);
            (user.access_hash == wanted.access_hash || user.id == me).then_some(user)
        }
        tl::enums::InputUser::FromMessage(wanted) => Some(world.user(wanted.user_id)),
        tl::enums::InputUser::Empty => None,
    }
}

pub(super) fn send_code(
    center: &Center,
    _: Call,
    request: f::auth::SendCode,
) -> Result<tl::enums::auth::SentCode, Refusal> {
    by_phone(&center.world(), &request.phone_number)?;
    let sent = tl::types::auth::SentCode {
        r#type: tl::types::auth::SentCodeTypeApp {
            length: LOGIN_CODE.len() as i32,
        }
        .into(),
        phone_code_hash: CODE_HASH.into(),
        next_type: None,
        timeout: None,
    };
    Ok(sent.into())
}

pub(super) fn sign_in(
    center: &Center,
    call: Call,
    request: f::auth::SignIn,
) -> Result<tl::enums::auth::Authorization, Refusal> {
    let user = by_phone(&center.world(), &request.phone_number)?;
    if request.phone_code_hash != CODE_HASH {
        return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
    }
    if request.phone_code.as_deref() != Some(LOGIN_CODE) {
        return Err(Refusal::bad("PHONE_CODE_INVALID"));
    }
    center.keys().set_user(call.key, Some(user.id));
    Ok(authorization(&user))
}

fn by_phone(world: &World, phone: &str) -> Result<User, Refusal> {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let user = world.users.iter().find(|user| user.phone == digits);
    user.cloned()
        .ok_or_else(|| Refusal::bad("PHONE_NUMBER_UNOCCUPIED"))
}

fn authorization(user: &User) -> tl::enums::auth::Authorization {
    tl::types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token: None,
        user: objects::user(user, user.id),
    }
    .into()
}

pub(super) fn log_out(
    center: &Center,
    call: Call,
    _: f::auth::LogOut,
) -> Result<tl::enums::auth::LoggedOut, Refusal> {
    call.user()?;
    center.keys().set_user(call.key, None);
    let out = tl::types::auth::LoggedOut {
        future_auth_token: None,
    };
    Ok(out.into())
}

/// The token is as good as a password, on loopback, for users who do not exist. It opens one data
/// centre alone.
fn token(user: i64, dc: i32) -> Vec<u8> {
    format!("simulated:{user}:{dc}").into_bytes()
}

pub(super) fn export(
    center: &Center,
    call: Call,
    request: f::auth::ExportAuthorization,
) -> Result<tl::enums::auth::ExportedAuthorization, Refusal> {
    let id = call.user()?;
    if center.place(request.dc_id).is_none() {
        return Err(Refusal::bad("DC_ID_INVALID"));
    }
    let bytes = token(id, request.dc_id);
    Ok(tl::types::auth::ExportedAuthorization { id, bytes }.into())
}

pub(super) fn import(
    center: &Center,
    call: Call,
    request: f::auth::ImportAuthorization,
) -> Result<tl::enums::auth::Authorization, Refusal> {
    if request.bytes != token(request.id, call.dc) {
        return Err(Refusal::bad("AUTH_BYTES_INVALID"));
    }
    center.keys().set_user(call.key, Some(request.id));
    Ok(authorization(&center.world().user(request.id)))
}
