//! Users who are real: registered, logged in, given a plan, and kept logged in.

mod account;
mod api;
mod plan;
mod store;

pub(crate) use account::AccountCopy;
pub use account::{Account, Tokens};
pub use api::{Api, ApiError};
pub use plan::Changed;
pub use store::Store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::scenario::Prepared;
use crate::steps::text;

/// Logins and uploads at the same time.
const PARALLEL: usize = 8;
/// Longest wait for documents to be found.
const INDEXING: Duration = Duration::from_mins(10);

/// Why users could not be made.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The API refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What is kept of them cannot be read or written.
    #[error("cannot keep the users of this target")]
    Store(#[from] std::io::Error),
    /// A credential with signs that cannot be sent.
    #[error("the credential of {0} cannot be sent")]
    Credential(&'static str),
    /// Documents did not get ready.
    #[error("the documents of {0} were not indexed in time")]
    Indexing(String),
}

/// The users of a run.
#[derive(Debug)]
pub struct Users {
    /// Their accounts.
    pub accounts: Arc<Vec<Account>>,
    changed: Option<Changed>,
    store: Option<Store>,
}

/// How users are made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// One key for everybody, instead of accounts.
    pub api_key: Option<String>,
    /// Credential of whoever runs the target; without, its limits stay as they are.
    pub operator: Option<String>,
    /// Where they are kept.
    pub folder: std::path::PathBuf,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    filename: String,
    status: String,
}

impl Users {
    /// Makes what a scenario needs: accounts, their plan, their documents.
    pub async fn prepare(
        client: &Client,
        prepared: &Prepared,
        options: &Options,
        mut note: impl FnMut(String),
    ) -> Result<Self, UsersError> {
        let count = prepared.accounts();
        let mut users = Self {
            accounts: Arc::default(),
            changed: None,
            store: None,
        };
        if count == 0 {
            return Ok(users);
        }
        let api = Api(client);
        if let Some(operator) = &options.operator {
            let operator = HeaderValue::from_str(&format!("Bearer {operator}"))
                .map_err(|_| UsersError::Credential("the operator"))?;
            users.changed = Some(plan::open(&api, &operator).await?);
        } else {
            note("no operator's key: the target's own limits apply (--operator-key)".into());
        }
        let made = users.make(&api, prepared, options, &mut note).await;
        if made.is_err() {
            // Nothing is left behind.
            users.finish(client).await?;
            made?;
            return Err(UsersError::Credential("nobody"));
        }
        Ok(users)
    }

    async fn make(
        &mut self,
        api: &Api<'_>,
        prepared: &Prepared,
        options: &Options,
        note: &mut impl FnMut(String),
    ) -> Result<(), UsersError> {
        let count = prepared.accounts();
        let mut accounts = if let Some(key) = &options.api_key {
            let account = |_| Account::of_key(key).ok_or(UsersError::Credential("--api-key"));
            (0..count).map(account).collect::<Result<Vec<_>, _>>()?
        } else {
            let store = Store::open(&options.folder, api.0.target().url())?;
            note(format!("logging in {count} users"));
            let accounts = log_in(api, &store, count).await?;
            let store = self.store.insert(store);
            store.keep(accounts.iter().map(kept))?;
            if let Some(changed) = &mut self.changed {
                changed.assign(api, tenants(prepared, &accounts)).await?;
            }
            accounts
        };
        let wanted = prepared.scenario.accounts.documents;
        if wanted > 0 {
            note(format!("{wanted} documents for each of {count} users"));
            let shared = options.api_key.is_some();
            // With one key there is one tenant: its documents are everybody's. Users of narrow plans get
            // none: the calls for it would count.
            let usual = prepared.scenario.accounts.count;
            let own = &accounts[..if shared { 1 } else { usual }];
            let documents: Vec<Vec<String>> = futures_util::stream::iter(own)
                .map(|account| documents(api, account, wanted))
                .buffered(PARALLEL)
                .try_collect()
                .await?;
            for (at, account) in accounts.iter_mut().take(usual).enumerate() {
                account
                    .documents
                    .clone_from(&documents[if shared { 0 } else { at }]);
            }
        }
        self.accounts = Arc::new(accounts);
        Ok(())
    }

    /// Keeps everybody logged in until the run ends.
    pub async fn keep_logged_in(&self, client: &Client, stop: CancellationToken) -> u64 {
        let api = Api(client);
        let mut renewed = 0;
        loop {
            let now = Instant::now();
            for account in self.accounts.iter().filter(|account| account.is_due(now)) {
                if stop.is_cancelled() {
                    break;
                }
                if let Ok(tokens) = refresh(&api, &account.refresh_token()).await {
                    account.renew(&tokens);
                    renewed += 1;
                }
            }
            let pause = tokio::time::sleep(Duration::from_secs(1));
            if stop.run_until_cancelled(pause).await.is_none() {
                return renewed;
            }
        }
    }

    /// Puts the limits back and keeps the tokens.
    pub async fn finish(mut self, client: &Client) -> Result<(), UsersError> {
        if let Some(store) = &mut self.store {
            store.keep(self.accounts.iter().map(kept))?;
        }
        if let Some(changed) = self.changed.take() {
            changed.undo(&Api(client)).await?;
        }
        Ok(())
    }
}

fn kept(account: &Account) -> (String, String) {
    (account.email().to_owned(), account.refresh_token())
}

/// Tenants with the limit of their class, those of narrow plans last.
fn tenants<'a>(
    prepared: &'a Prepared,
    accounts: &'a [Account],
) -> impl Iterator<Item = (String, Option<u32>)> + 'a {
    let narrow = prepared
        .scenario
        .classes
        .iter()
        .filter_map(|class| class.narrow.as_ref());
    let narrow =
        narrow.flat_map(|narrow| std::iter::repeat_n(Some(narrow.minute), narrow.accounts));
    let usual = std::iter::repeat_n(None, prepared.scenario.accounts.count);
    let limits = usual.chain(narrow);
    let each = accounts.iter().zip(limits);
    each.filter_map(|(account, limit)| Some((account.tenant()?, limit)))
}

async fn log_in(api: &Api<'_>, store: &Store, count: usize) -> Result<Vec<Account>, UsersError> {
    futures_util::stream::iter(0..count)
        .map(|number| async move {
            let (email, password) = store.identity(number);
            let tokens = tokens(api, store, &email, &password).await?;
            Account::new(email, password, &tokens).ok_or(UsersError::Credential("a user"))
        })
        .buffered(PARALLEL)
        .try_collect()
        .await
}

/// By the token of the last run, else by registering, else by logging in.
async fn tokens(
    api: &Api<'_>,
    store: &Store,
    email: &str,
    password: &str,
) -> Result<Tokens, ApiError> {
    if let Some(token) = store.token(email)
        && let Ok(tokens) = refresh(api, token).await
    {
        return Ok(tokens);
    }
    let body = json!({"email": email, "password": password});
    let registered = api
        .call(Method::POST, "/api/v1/auth/register", None, Some(&body))
        .await;
    match registered {
        Err(error) if error.status() == Some(StatusCode::CONFLICT) => {
            api.call(Method::POST, "/api/v1/auth/login", None, Some(&body))
                .await
        }
        registered => registered,
    }
}

async fn refresh(api: &Api<'_>, token: &str) -> Result<Tokens, ApiError> {
    let body = json!({"refresh_token": token});
    api.call(Method::POST, "/api/v1/auth/refresh", None, Some(&body))
        .await
}

/// Ids of the first texts, uploaded where they are missing and waited for.
async fn documents(
    api: &Api<'_>,
    account: &Account,
    wanted: usize,
) -> Result<Vec<String>, UsersError> {
    let deadline = Instant::now() + INDEXING;
    let credential = account.credential();
    let mut pause = Duration::from_millis(100);
    let mut is_first = true;
    loop {
        let page: Page = api
            .call(
                Method::GET,
                "/api/v1/documents?limit=200",
                Some(&credential),
                None,
            )
            .await?;
        let mut ids = Vec::new();
        for number in 0..wanted {
            let text = text(number);
            match page
                .items
                .iter()
                .find(|item| item.filename == text.filename)
            {
                Some(item) if item.status == "indexed" => ids.push(item.id.clone()),
                None if is_first => {
                    let body = json!({"filename": text.filename, "content": text.content, "language": "en"});
                    let _: Value = api
                        .call(
                            Method::POST,
                            "/api/v1/documents",
                            Some(&credential),
                            Some(&body),
                        )
                        .await?;
                }
                Some(_) | None => {}
            }
        }
        if ids.len() == wanted {
            return Ok(ids);
        }
        if Instant::now() > deadline {
            return Err(UsersError::Indexing(account.email().to_owned()));
        }
        is_first = false;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
