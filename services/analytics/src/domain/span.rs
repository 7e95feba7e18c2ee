use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use touchstone_api::analytics::{StatsDay, StatsPeriod, StatsScope};
use touchstone_types::TenantId;

/// Whose records are looked at, and what is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// A tenant's, without its questions.
    Member(TenantId),
    /// A tenant's.
    Admin(TenantId),
    /// Everybody's, without questions.
    Everything,
}

impl View {
    /// The one tenant, if it is about one.
    pub const fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Member(tenant) | Self::Admin(tenant) => Some(tenant),
            Self::Everything => None,
        }
    }

    /// Whether questions are told.
    pub const fn tells_queries(self) -> bool {
        matches!(self, Self::Admin(_))
    }

    /// What the answer calls it.
    pub const fn scope(self) -> StatsScope {
        match self {
            Self::Member(_) | Self::Admin(_) => StatsScope::Tenant,
            Self::Everything => StatsScope::Everything,
        }
    }
}

/// A half-open span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub since: DateTime<Utc>,
    /// One past its end.
    pub until: DateTime<Utc>,
}

impl Span {
    /// The last hour, day, week or month.
    pub fn back(period: StatsPeriod, now: DateTime<Utc>) -> Self {
        let length = match period {
            StatsPeriod::Hour => Duration::from_hours(1),
            StatsPeriod::Day => Duration::from_hours(24),
            StatsPeriod::Week => Duration::from_hours(7 * 24),
            StatsPeriod::Month => Duration::from_hours(30 * 24),
        };
        Self {
            since: now - length,
            until: now,
        }
    }

    /// Every day that it touches, without numbers.
    pub fn days(self) -> Vec<StatsDay> {
        let last = self.until.date_naive();
        self.since
            .date_naive()
            .iter_days()
            .take_while(|day| *day <= last)
            .map(empty_day)
            .collect()
    }
}

/// A day without numbers.
pub const fn empty_day(date: NaiveDate) -> StatsDay {
    StatsDay {
        date,
        requests: 0,
        errors: 0,
        queries: 0,
        documents_indexed: 0,
    }
}

#[cfg(test)]
mod tests {
    use touchstone_types::{Clock, FrozenClock};

    use super::*;

    #[test]
    fn every_day_that_is_touched_is_told() {
        let now = FrozenClock::default().now();
        for (period, days) in [
            (StatsPeriod::Day, 2),
            (StatsPeriod::Week, 8),
            (StatsPeriod::Month, 31),
        ] {
            let span = Span::back(period, now);
            assert_eq!(span.days().len(), days, "{period:?}");
            assert_eq!(span.days()[days - 1].date, now.date_naive());
        }
    }

    #[test]
    fn only_administrators_see_questions() {
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(1));
        assert!(View::Admin(tenant).tells_queries());
        assert!(!View::Member(tenant).tells_queries());
        assert!(!View::Everything.tells_queries());
        assert_eq!(View::Everything.tenant(), None);
    }
}
