use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use touchstone_api_gateway::{Config, Deps, Operators};
use touchstone_identity::Caller;
use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_testing::{TestClient, TestIdentity};

/// How the gateway reaches its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    InProcess,
    Http,
}

/// Makes a test of each function, over both transports.
macro_rules! over_both_transports {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn in_process() {
                super::$name($crate::support::Mode::InProcess).await;
            }
            #[tokio::test]
            async fn over_http() {
                super::$name($crate::support::Mode::Http).await;
            }
        }
    )+};
}
pub(crate) use over_both_transports;

/// How long to wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway before fake services.
pub struct Stack {
    pub identity: TestIdentity,
    pub life: Lifecycle,
    pub router: Router,
    /// The port for operators, of whom the caller is one.
    pub admin: Router,
    pub operators: Operators,
    pub caller: Caller,
    pub token: String,
}

impl Stack {
    pub async fn start(
        mode: Mode,
        services: impl IntoIterator<Item = (&'static str, Router)>,
    ) -> Self {
        Self::with(mode, services, |_| ()).await
    }

    pub async fn with(
        mode: Mode,
        services: impl IntoIterator<Item = (&'static str, Router)>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::of(TestIdentity::new(), mode, services, change).await
    }

    /// As [`Stack::with`], for an identity that was changed.
    pub async fn of(
        identity: TestIdentity,
        mode: Mode,
        services: impl IntoIterator<Item = (&'static str, Router)>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let life = Lifecycle::new();
        for (name, router) in services {
            match mode {
                Mode::InProcess => identity.mesh.mount(name, router),
                Mode::Http => {
                    let listener = Listener::bind(name, ([127, 0, 0, 1], 0).into())
                        .await
                        .unwrap();
                    let base = format!("http://{}", listener.address()).parse().unwrap();
                    life.serve(listener, router);
                    identity.mesh.connect(name, base);
                }
            }
        }
        let mut config: Config = touchstone_config::defaults();
        // Tests hurry; those of quotas say what they are held to.
        "load".clone_into(&mut config.quota.limits.plan);
        "load".clone_into(&mut config.quota.limits.anonymous);
        change(&mut config);
        let caller = identity.caller();
        let deps = Deps::resolve(identity.common(), &config);
        let operators = deps.operators.clone();
        let (router, admin) = touchstone_api_gateway::build_both(config, deps, &life)
            .await
            .unwrap();
        let token = identity.bearer(&caller);
        Self {
            identity,
            life,
            router,
            admin,
            operators,
            caller,
            token,
        }
    }

    /// Speaks to the gateway as its caller.
    pub fn client(&self) -> TestClient {
        TestClient::new(self.router.clone(), self.token.clone())
    }

    /// Speaks to the gateway as nobody.
    pub fn anonymous(&self) -> TestClient {
        TestClient::anonymous(self.router.clone())
    }

    /// Speaks to the port for operators as the caller, who is one from now on.
    pub fn operator(&self) -> TestClient {
        self.operators.name(self.caller.tenant);
        TestClient::new(self.admin.clone(), self.token.clone())
    }

    /// Puts the gateway on a real port.
    pub async fn listen(&self) -> SocketAddr {
        let listener = Listener::bind("gateway", ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let address = listener.address();
        self.life.serve(listener, self.router.clone());
        address
    }

    /// Stops everything; nothing may be left over.
    pub async fn stop(self) {
        drop((self.router, self.admin));
        let report = self.life.shutdown(PATIENCE).await;
        assert!(report.is_clean(), "{report:?}");
    }
}

/// Waits until so many tokens of the day are left, and not one more or less.
pub async fn tokens_left(stack: &Stack, wanted: u32) {
    let operator = stack.operator();
    let caller = &stack.caller;
    let path = format!(
        "/admin/quotas?tenant={}&user={}",
        caller.tenant, caller.user
    );
    let mut told = Value::Null;
    let wait = async {
        loop {
            told = operator.get(&path).await.json();
            if told
                .to_string()
                .contains(&format!("\"remaining\":{wanted}"))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(
        waited.is_ok(),
        "{wanted} tokens are not what is left: {told}"
    );
}
