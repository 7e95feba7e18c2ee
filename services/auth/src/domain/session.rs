use std::time::Duration;

use chrono::{DateTime, Utc};
use touchstone_types::{FamilyId, TenantId, UserId};

/// One login: a chain of refresh tokens of which only the last one lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Id, the claim `fam` of its access tokens.
    pub id: FamilyId,
    /// Whose login it is.
    pub user: UserId,
    /// The user's tenant.
    pub tenant: TenantId,
    /// Number of the live token, from 0.
    pub generation: u32,
    /// When that token was made; its parent was spent at the same moment.
    pub rotated_at: DateTime<Utc>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was ended, if it was.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Family {
    /// Whether its tokens hold at `now`.
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}

/// Why a family was ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The user logged out.
    Logout,
    /// The user changed the password.
    PasswordChanged,
    /// A spent token came back: somebody has a copy.
    Replayed,
}

impl EndReason {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::PasswordChanged => "password_changed",
            Self::Replayed => "replayed",
        }
    }
}

/// What to do with a refresh token that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the live one: spend it, make its child.
    Rotate,
    /// It is the immediate parent, spent moments ago, and its child is unspent: the same child again.
    Repeat,
    /// It is spent: end the family.
    Replayed,
    /// The family is over already.
    Over,
}

/// Judges the token of `generation` of a family.
///
/// # Units
/// `grace` is wall-clock time since the parent was spent, in either direction, so that two clocks
/// that differ a little do not end a family, and a clock set back does not stretch the grace.
///
/// # Source
/// RFC 9700, 4.14.2 (refresh token rotation).
pub fn judge(family: &Family, generation: u32, now: DateTime<Utc>, grace: Duration) -> Verdict {
    if !family.is_alive(now) {
        return Verdict::Over;
    }
    if generation == family.generation {
        return Verdict::Rotate;
    }
    let since = (now - family.rotated_at)
        .abs()
        .to_std()
        .unwrap_or(Duration::MAX);
    if generation.checked_add(1) == Some(family.generation) && since <= grace {
        return Verdict::Repeat;
    }
    Verdict::Replayed
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use touchstone_types::{Clock, FrozenClock, IdSource};

    const GRACE: Duration = Duration::from_secs(10);

    fn family(generation: u32) -> Family {
        let (now, ids) = (FrozenClock::default().now(), IdSource::system());
        Family {
            id: ids.next(),
            user: ids.next(),
            tenant: ids.next(),
            generation,
            rotated_at: now,
            created_at: now,
            expires_at: now + TimeDelta::days(30),
            ended_at: None,
        }
    }

    #[test]
    fn only_the_immediate_parent_has_grace() {
        let family = family(5);
        let at = |millis| family.rotated_at + TimeDelta::milliseconds(millis);
        assert_eq!(judge(&family, 5, at(0), GRACE), Verdict::Rotate);
        assert_eq!(judge(&family, 4, at(10_000), GRACE), Verdict::Repeat);
        assert_eq!(judge(&family, 4, at(10_001), GRACE), Verdict::Replayed);
        assert_eq!(judge(&family, 3, at(0), GRACE), Verdict::Replayed);
        assert_eq!(judge(&family, 0, at(0), GRACE), Verdict::Replayed);
    }

    #[test]
    fn a_clock_set_back_does_not_stretch_the_grace() {
        let family = family(1);
        let hour_ago = family.rotated_at - TimeDelta::hours(1);
        assert_eq!(judge(&family, 0, hour_ago, GRACE), Verdict::Replayed);
    }

    #[test]
    fn nothing_revives_a_family_that_is_over() {
        let mut family = family(1);
        let now = family.rotated_at;
        assert_eq!(judge(&family, 1, family.expires_at, GRACE), Verdict::Over);
        family.ended_at = Some(now);
        for generation in 0..3 {
            assert_eq!(judge(&family, generation, now, GRACE), Verdict::Over);
        }
    }
}
