use http::Method;
use touchstone_api::analytics::{Stats, StatsPeriod};
use touchstone_identity::Caller;

use crate::{ClientError, Mesh, ServiceClient};

/// Calls analytics.
#[derive(Clone, Debug)]
pub struct AnalyticsClient(ServiceClient);

impl AnalyticsClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "analytics"))
    }

    /// `GET /stats`.
    pub async fn stats(&self, caller: &Caller, period: StatsPeriod) -> Result<Stats, ClientError> {
        let word = match period {
            StatsPeriod::Hour => "hour",
            StatsPeriod::Day => "day",
            StatsPeriod::Week => "week",
            StatsPeriod::Month => "month",
        };
        let path = format!("/stats?period={word}");
        self.0.call(caller, Method::GET, &path, None::<&()>).await
    }
}
