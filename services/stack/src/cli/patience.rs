//! How long a command waits for a stack that is busy: as long as it is asked to, within bounds.

use std::time::Duration;

use reqwest::StatusCode;

/// Longest time that quotas may hold a command up, in all.
const FOR_QUOTAS: Duration = Duration::from_hours(1);
/// The same for services that are overloaded or away: what lasts is worth telling.
const FOR_SERVICES: Duration = Duration::from_mins(1);
/// Shortest wait: `Retry-After` is in whole seconds, and 0 must not become a flood.
const LEAST: Duration = Duration::from_secs(1);

/// What one request has waited so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    quotas: Duration,
    services: Duration,
}

impl Patience {
    /// How long to wait before the request is sent again, and why; `None` when the answer counts.
    pub fn wait(
        &mut self,
        status: StatusCode,
        retry_after: Option<&str>,
    ) -> Option<(Duration, &'static str)> {
        let (waited, most, why) = match status {
            StatusCode::TOO_MANY_REQUESTS => (&mut self.quotas, FOR_QUOTAS, "a quota is used up"),
            StatusCode::SERVICE_UNAVAILABLE => (
                &mut self.services,
                FOR_SERVICES,
                "a service is busy or away",
            ),
            _ => return None,
        };
        // Who does not say when to come back does not expect it.
        let asked = Duration::from_secs(retry_after?.trim().parse().ok()?);
        let wait = asked.max(LEAST);
        let total = waited.checked_add(wait).filter(|total| *total <= most)?;
        *waited = total;
        Some((wait, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    const DENIED: StatusCode = StatusCode::TOO_MANY_REQUESTS;

    fn seconds(wait: Option<(Duration, &'static str)>) -> Option<u64> {
        wait.map(|(wait, _)| wait.as_secs())
    }

    #[test]
    fn it_waits_as_long_as_it_is_asked_to_and_never_less_than_a_second() {
        let mut patience = Patience::default();
        assert_eq!(seconds(patience.wait(DENIED, Some("42"))), Some(42));
        assert_eq!(seconds(patience.wait(BUSY, Some(" 7 "))), Some(7));
        assert_eq!(seconds(patience.wait(BUSY, Some("0"))), Some(1));
    }

    #[test]
    fn answers_that_name_no_time_count() {
        let mut patience = Patience::default();
        for retry_after in [None, Some(""), Some("soon"), Some("-1"), Some("1.5")] {
            assert_eq!(patience.wait(BUSY, retry_after), None, "{retry_after:?}");
        }
        for status in [200, 400, 401, 500, 502, 504] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(patience.wait(status, Some("1")), None, "{status}");
        }
    }

    #[test]
    fn it_ends_however_often_it_is_asked_to_wait() {
        let mut patience = Patience::default();
        assert_eq!(patience.wait(DENIED, Some("3601")), None);
        assert_eq!(patience.wait(DENIED, Some("18446744073709551615")), None);
        let often = |patience: &mut Patience, status, asked| {
            (0..1000)
                .take_while(|_| patience.wait(status, Some(asked)).is_some())
                .count()
        };
        assert_eq!(often(&mut patience, BUSY, "0"), 60);
        assert_eq!(often(&mut patience, DENIED, "60"), 60);
    }
}
