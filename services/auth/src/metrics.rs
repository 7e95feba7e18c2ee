use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use touchstone_telemetry::Scope;

/// What came out of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// The word.
    pub outcome: &'static str,
}

/// What a password hash was computed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Purpose {
    /// `register`, `login`, `decoy` (unknown user), `rehash` or `change`.
    pub purpose: &'static str,
}

/// Every metric of auth.
#[derive(Clone, Debug)]
pub struct AuthMetrics {
    /// Logins: `ok`, `refused`, `throttled`, `busy`.
    pub logins: Family<Outcome, Counter>,
    /// Accounts made.
    pub registrations: Counter,
    /// Refreshes: `rotated`, `repeated`, `refused`, `replayed`.
    pub refreshes: Family<Outcome, Counter>,
    /// Logins ended because a spent token came back.
    pub families_killed: Counter,
    /// API keys judged: `ok`, `refused`.
    pub api_keys: Family<Outcome, Counter>,
    /// Password hashes computed.
    pub hashes: Family<Purpose, Counter>,
    /// Password hashes in work.
    pub hashes_running: Gauge,
    /// The most that were in work at once.
    pub hashes_running_peak: Gauge,
    /// Requests refused because too many waited for a hash.
    pub hashes_refused: Counter,
}

impl AuthMetrics {
    /// Declares them.
    pub fn new(scope: &Scope) -> Self {
        Self {
            logins: scope.counter_by("logins", "Logins by outcome"),
            registrations: scope.counter("registrations", "Accounts made"),
            refreshes: scope.counter_by("refreshes", "Refreshes by outcome"),
            families_killed: scope.counter(
                "families_killed",
                "Logins ended because a spent refresh token came back",
            ),
            api_keys: scope.counter_by("api_key_checks", "API keys judged by outcome"),
            hashes: scope.counter_by("password_hashes", "Password hashes computed by purpose"),
            hashes_running: scope.gauge("password_hashes_running", "Password hashes in work"),
            hashes_running_peak: scope.gauge(
                "password_hashes_running_peak",
                "Most password hashes in work at once",
            ),
            hashes_refused: scope.counter(
                "password_hashes_refused",
                "Requests refused by the full hashing queue",
            ),
        }
    }

    /// Counts a login.
    pub fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a refresh.
    pub fn refresh(&self, outcome: &'static str) {
        self.refreshes.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a verdict on an API key.
    pub fn api_key(&self, holds: bool) {
        let outcome = if holds { "ok" } else { "refused" };
        self.api_keys.get_or_create(&Outcome { outcome }).inc();
    }
}
