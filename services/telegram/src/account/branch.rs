//! Connections to other data centres than the home: media live there.
//!
//! Each has a pool of its own. What goes wrong there, be it a data centre that takes no connection
//! or a client's runner that panics, does not hold up the calls at home.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use grammers_client::Client;
use grammers_client::tl;
use grammers_client::tl::RemoteCall;
use grammers_mtsender::SenderPool;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use touchstone_lifecycle::Lifecycle;

use super::{Account, CALL_TIMEOUT, CallError, Link, supervisor};

/// The connections by data centre.
#[derive(Default)]
pub(super) struct Branches(Mutex<HashMap<i32, Arc<Branch>>>);

/// A connection; it ends when nobody uses it any more.
struct Branch {
    client: Client,
    /// The connection to the home that it belongs to.
    home: u64,
    end: CancellationToken,
    _ends: DropGuard,
}

impl Branches {
    /// Ends all, with the calls that are under way: another instance may use the account now.
    pub(super) fn clear(&self) {
        for (_, branch) in self.lock().drain() {
            branch.end.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<Branch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, dc: i32, branch: &Arc<Branch>) {
        let mut branches = self.lock();
        if branches.get(&dc).is_some_and(|it| Arc::ptr_eq(it, branch)) {
            branches.remove(&dc);
        }
    }
}

impl Account {
    /// As [`Account::read`], at the data centre `dc`. Where the account is not known yet, the home
    /// vouches for it.
    ///
    /// # Errors
    /// [`CallError`]; at the latest at `deadline`.
    pub(crate) async fn read_at<R: RemoteCall>(
        &self,
        dc: i32,
        method: &str,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Return, CallError> {
        if dc == self.0.options.session.home() {
            return self.read(method, request, deadline).await;
        }
        let (mut known, mut steady) = (true, true);
        loop {
            let outcome = self.call_at(Some(dc), method, request, deadline).await;
            match outcome {
                Err(CallError::NotAuthorized) if known => {
                    known = false;
                    self.introduce(dc, deadline).await.map_err(elsewhere)?;
                }
                Err(error)
                    if error.is_of_the_connection() && steady && Instant::now() < deadline =>
                {
                    steady = false;
                }
                outcome => return outcome.map_err(elsewhere),
            }
        }
    }

    /// Lets the home vouch for the account at another data centre.
    async fn introduce(&self, dc: i32, deadline: Instant) -> Result<(), CallError> {
        let export = tl::functions::auth::ExportAuthorization { dc_id: dc };
        let exported = self.read("auth.exportAuthorization", &export, deadline);
        let tl::enums::auth::ExportedAuthorization::Authorization(exported) = exported.await?;
        let import = tl::functions::auth::ImportAuthorization {
            id: exported.id,
            bytes: exported.bytes,
        };
        let imported = self.call_at(Some(dc), "auth.importAuthorization", &import, deadline);
        imported.await.map(drop)
    }

    /// Sends a call to another data centre.
    pub(super) async fn send_away<R: RemoteCall>(
        &self,
        dc: i32,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Return, CallError> {
        // Only whoever has the home has the lease.
        let link = self.link(deadline).await?;
        let branch = self.branch(dc, &link)?;
        let late = Instant::now() + CALL_TIMEOUT;
        let answer = branch.client.invoke_in_dc(dc, request);
        let outcome = match timeout_at(late.min(deadline), answer).await {
            Ok(outcome) => outcome.map_err(CallError::from),
            // That its caller waits no longer says nothing of the connection.
            Err(_) if deadline < late => return Err(CallError::Timeout),
            Err(_) => Err(CallError::Timeout),
        };
        if let Err(error) = &outcome
            && (error.is_of_the_connection() || matches!(error, CallError::Duplicated))
        {
            self.0.branches.remove(dc, &branch);
        }
        outcome
    }

    /// The connection to a data centre, made if need be.
    fn branch(&self, dc: i32, link: &Link) -> Result<Arc<Branch>, CallError> {
        let mut branches = self.0.branches.lock();
        // The home may have gone meanwhile, and with it the right to connect.
        let present = self.0.link.borrow().as_ref().map(|link| link.number);
        if present != Some(link.number) {
            return Err(CallError::Unreachable("the connection ended"));
        }
        if let Some(branch) = branches.get(&dc)
            && branch.home == link.number
        {
            return Ok(Arc::clone(branch));
        }
        let branch = Arc::new(self.connect(link.number, &self.0.life));
        branches.insert(dc, Arc::clone(&branch));
        Ok(branch)
    }

    fn connect(&self, home: u64, life: &Lifecycle) -> Branch {
        let options = &self.0.options;
        let parameters = supervisor::parameters(options);
        let session = Arc::clone(&options.session);
        let pool = SenderPool::with_configuration(session, options.api_id, parameters);
        let client = Client::with_configuration(pool.handle, supervisor::client_configuration());
        let end: CancellationToken = life.soft_stop().child_token();
        let (ends, ended) = (end.clone().drop_guard(), end.clone());
        let runner = AssertUnwindSafe(pool.runner.run()).catch_unwind();
        life.spawn("telegram.branch", async move {
            if let Some(Err(_)) = ended.run_until_cancelled(runner).await {
                tracing::warn!("a connection to another data centre ended with a panic");
            }
        });
        Branch {
            client,
            home,
            end,
            _ends: ends,
        }
    }
}

/// What another data centre thinks of the account says nothing of how it stands at home.
fn elsewhere(error: CallError) -> CallError {
    let refused = |code, name: &str| CallError::Refused {
        code,
        name: name.to_owned(),
    };
    match error {
        CallError::NotAuthorized => refused(401, "AUTH_KEY_UNREGISTERED"),
        CallError::Duplicated => refused(406, "AUTH_KEY_DUPLICATED"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use grammers_session::storages::MemorySession;

    use super::*;

    #[tokio::test]
    async fn connections_elsewhere_end_with_the_one_at_home_whoever_uses_them() {
        let pool = SenderPool::new(Arc::new(MemorySession::default()), 1);
        let end = CancellationToken::new();
        let used = Arc::new(Branch {
            client: Client::new(pool.handle),
            home: 1,
            end: end.clone(),
            _ends: end.clone().drop_guard(),
        });
        let branches = Branches::default();
        branches.lock().insert(4, Arc::clone(&used));
        branches.clear();
        assert!(end.is_cancelled() && Arc::strong_count(&used) == 1);
    }
}
