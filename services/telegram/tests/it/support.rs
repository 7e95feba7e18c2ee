#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram::store::{self, Store};
use touchstone_telegram::{BuildError, Config, Deps, Guests};
use touchstone_telegram_simulator::{
    Armed, ChannelScenario, Fault, Language, Limit, Scenario, Simulator,
};
use touchstone_testing::{Answer, TestClient, TestIdentity};
use touchstone_types::{Role, SystemClock, TenantId};
use uuid::Uuid;

/// Longest time for a second look into the service's file.
const OPENING: Duration = Duration::from_mins(1);

/// The service, its data centre, and a caller.
pub struct Scene {
    pub simulator: Simulator,
    pub identity: TestIdentity,
    pub client: TestClient,
    pub folder: TempDir,
    /// Whom callers on this machine are taken for; nobody, until a test names somebody.
    pub guests: Guests,
    data_centre: Lifecycle,
    config: Config,
    router: Router,
    life: Lifecycle,
    store: OnceCell<Arc<dyn Store>>,
}

/// The first listed channel of every world.
pub const DUROV: i64 = 1_006_503_122;

pub fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(0x7e01))
}

/// A world with `durov`, a Russian channel and a private one.
pub fn world() -> Scenario {
    let private = ChannelScenario {
        username: None,
        title: "Members only".into(),
        language: Language::En,
        posts: 40,
        group: false,
        invite: Some("SecretHash_1".into()),
        joined: false,
    };
    let russian = ChannelScenario {
        username: Some("novosti".into()),
        title: "Новости".into(),
        language: Language::Ru,
        posts: 250,
        invite: None,
        ..private.clone()
    };
    let mut scenario = Scenario {
        channels: 6,
        posts: 60,
        ..Scenario::default()
    };
    scenario.channel.extend([russian, private]);
    scenario
}

/// A world whose media are at two data centres.
pub fn two_data_centres() -> Scenario {
    Scenario {
        elsewhere: vec![4],
        ..world()
    }
}

/// A limit on a method that nobody is told.
pub fn limited(method: &str, rate: f64, burst: f64, wait: u32) -> Scenario {
    let limit = Limit {
        rate,
        burst,
        wait,
        escalation: 2.0,
    };
    Scenario {
        limits: [(method.to_owned(), limit)].into(),
        ..world()
    }
}

impl Scene {
    pub async fn start() -> Self {
        Self::of(world(), |_| {}).await
    }

    pub async fn of(scenario: Scenario, edit: impl FnOnce(&mut Config)) -> Self {
        Self::with(scenario, edit, None).await
    }

    /// With a document service.
    pub async fn with(
        scenario: Scenario,
        edit: impl FnOnce(&mut Config),
        documents: Option<Router>,
    ) -> Self {
        let (life, data_centre) = (Lifecycle::new(), Lifecycle::new());
        let any = "127.0.0.1:0".parse().unwrap();
        let simulator = Simulator::start(any, scenario, Arc::new(SystemClock), &data_centre)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config: Config = touchstone_config::defaults();
        config.exports = folder.path().join("exports");
        config.store = format!("sqlite://{}/telegram.db", folder.path().display()).into();
        config.rate_limit = 10_000.0;
        edit(&mut config);
        let identity = TestIdentity::new();
        if let Some(documents) = documents {
            identity.mount("document", documents);
        }
        let guests = Guests::default();
        let started = service(&config, &identity, &simulator, &guests, true, &life);
        let router = Box::pin(started).await;
        let client = as_user(&router, &identity);
        Self {
            simulator,
            identity,
            client,
            folder,
            guests,
            data_centre,
            config,
            router,
            life,
            store: OnceCell::new(),
        }
    }

    /// Another process on the same folder and session.
    pub async fn another(&self, life: &Lifecycle) -> TestClient {
        let started = service(
            &self.config,
            &self.identity,
            &self.simulator,
            &self.guests,
            false,
            life,
        );
        as_user(&Box::pin(started).await, &self.identity)
    }

    /// Ends the service and starts it again on the same data; nobody tells it keys of further data
    /// centres any more.
    pub async fn restart(self) -> Self {
        self.again(false).await
    }

    /// Ends the service and starts it again with another configuration.
    pub async fn reconfigured(mut self, edit: impl FnOnce(&mut Config)) -> Self {
        edit(&mut self.config);
        self.again(true).await
    }

    async fn again(mut self, seeded: bool) -> Self {
        self.life.shutdown(Duration::from_secs(5)).await;
        self.life = Lifecycle::new();
        let started = service(
            &self.config,
            &self.identity,
            &self.simulator,
            &self.guests,
            seeded,
            &self.life,
        );
        self.router = Box::pin(started).await;
        self.client = as_user(&self.router, &self.identity);
        self
    }

    /// Builds a service with another configuration, and ends it again.
    pub async fn built(&self, edit: impl FnOnce(&mut Config)) -> Result<(), BuildError> {
        let mut config = self.config.clone();
        edit(&mut config);
        let session = Some(self.simulator.session().to_owned());
        let bus = touchstone_events::open("memory://").unwrap();
        let deps = Deps::resolve(self.identity.common(), bus, session, &config);
        let life = Lifecycle::new();
        let built = Box::pin(touchstone_telegram::build(config, deps, &life)).await;
        life.shutdown(Duration::from_secs(5)).await;
        built.map(drop)
    }

    /// Ends the service alone.
    pub async fn stop(&self) {
        self.life.shutdown(Duration::from_secs(5)).await;
    }

    /// The service's store, opened beside it.
    pub async fn store(&self) -> Arc<dyn Store> {
        let opened = self.store.get_or_init(async || {
            let options = &self.config.postgres;
            let started = Instant::now();
            loop {
                let opened = Box::pin(store::open(&self.config.store, options)).await;
                // The service may hold the file for longer than another opener waits.
                if opened.is_ok() || started.elapsed() > OPENING {
                    return opened.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Arc::clone(Box::pin(opened).await)
    }

    /// Changes the service's tables behind its back.
    pub async fn tamper(&self, statement: &str) {
        crate::store::tamper(&self.config.store, statement).await;
    }

    /// Somebody without a credential.
    pub fn stranger(&self) -> TestClient {
        TestClient::anonymous(self.router.clone())
    }

    /// Ends the data centre.
    pub async fn stop_data_centre(&self) {
        self.data_centre.shutdown(Duration::from_secs(5)).await;
    }

    pub fn arm(&self, fault: Fault, method: Option<&str>, skip: u32, times: u32) {
        self.simulator.arm(Armed {
            fault,
            method: method.map(str::to_owned),
            skip,
            times,
        });
    }

    pub async fn parse(&self, channel: &str, limit: u32) -> Answer {
        let body = json!({"channel_username": channel, "limit": limit});
        self.client.post("/channels/parse", &body).await
    }

    /// The `data` of a parse that succeeds.
    pub async fn parsed(&self, channel: &str, limit: u32) -> Value {
        let answer = self.parse(channel, limit).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json::<Value>()["data"].take()
    }

    pub async fn join(&self, channel: &str) -> Value {
        let body = json!({"channel_username": channel});
        let answer = self.client.post("/channels/join", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json::<Value>()["data"].take()
    }

    /// Calls of a method that the data centre saw, with their outcomes.
    pub fn calls(&self, method: &str) -> Vec<String> {
        let calls = self.simulator.calls().into_iter();
        let of = calls.filter(|call| call.method == method);
        of.map(|call| call.outcome).collect()
    }

    /// Calls of a method at one data centre, with their outcomes.
    pub fn calls_at(&self, dc: i32, method: &str) -> Vec<String> {
        let calls = self.simulator.calls().into_iter();
        let of = calls.filter(|call| call.method == method && call.data_centre == dc);
        of.map(|call| call.outcome).collect()
    }

    /// Names of exports, temporary ones too.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path().join("exports"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".instance")
            .collect();
        names.sort();
        names
    }

    pub async fn health(&self) -> Value {
        self.client.get("/health").await.json()
    }

    /// Asks for the health until it is as wanted.
    pub async fn health_until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..3_000 {
            let health = self.health().await;
            if wanted(&health) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.health().await
    }
}

async fn service(
    config: &Config,
    identity: &TestIdentity,
    simulator: &Simulator,
    guests: &Guests,
    seeded: bool,
    life: &Lifecycle,
) -> Router {
    let session = Some(simulator.session().to_owned());
    let bus = touchstone_events::open("memory://").unwrap();
    let mut deps = Deps::resolve(identity.common(), bus, session, config);
    let elsewhere = (1..10).filter_map(|dc| simulator.session_elsewhere(dc));
    deps.simulated_elsewhere = elsewhere.filter(|_| seeded).collect();
    deps.guests = Some(guests.clone());
    touchstone_telegram::build(config.clone(), deps, life)
        .await
        .unwrap()
}

fn as_user(router: &Router, identity: &TestIdentity) -> TestClient {
    let caller = identity.caller_of(tenant(), Role::Admin);
    TestClient::new(router.clone(), identity.bearer(&caller))
}
