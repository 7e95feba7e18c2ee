//! The rules of auth: pure, without I/O.

mod address;
mod email;
mod password;
pub(crate) mod session;
mod throttle;

pub use address::ClientAddress;
pub use email::{Email, InvalidEmail};
pub use password::{Password, PasswordRule};
pub use throttle::{Attempt, Throttle, ThrottleRules, Ticket};

/// Whether `text` has `min` to `max` characters.
pub fn has_chars(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.chars().take(max + 1).count())
}
