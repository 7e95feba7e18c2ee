use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use touchstone_client::{Common, Mesh, Recorder};
use touchstone_identity::{
    AccessClaims, AccessPolicy, ApiKeyVerdict, Caller, CallerKind, KeySource, KeySourceError,
    PublicKey, RequestContext, ServiceKey, Signer, TokenType, Verifier,
};
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, FrozenClock, IdSource, Role, TenantId};

/// Secret of the access tokens of tests.
pub const TOKEN_SECRET: &[u8] = b"a secret for the tokens of the tests";
/// Secret with which the services of tests vouch for each other.
pub const SERVICE_SECRET: &[u8] = b"a secret for the services of the tests";

/// A frozen clock, seeded ids, a verifier and the means to be somebody.
#[derive(Clone, Debug)]
pub struct TestIdentity {
    /// Moves only when told to.
    pub clock: Arc<FrozenClock>,
    /// The same ids in every run.
    pub ids: IdSource,
    /// Holds what [`TestIdentity::mount`] put there.
    pub mesh: Mesh,
    /// Judges the tokens of this identity.
    pub verifier: Arc<Verifier>,
    /// One registry.
    pub metrics: Metrics,
}

/// Tests sign with a shared secret and know no API keys.
struct NoKeys;

#[async_trait]
impl KeySource for NoKeys {
    async fn public_keys(&self) -> Result<Vec<PublicKey>, KeySourceError> {
        Ok(Vec::new())
    }
    async fn api_key(&self, _: &str) -> Result<Option<ApiKeyVerdict>, KeySourceError> {
        Ok(None)
    }
}

impl Default for TestIdentity {
    fn default() -> Self {
        Self::new()
    }
}

impl TestIdentity {
    /// The same identity in every test.
    pub fn new() -> Self {
        let clock = Arc::new(FrozenClock::default());
        let key = ServiceKey::new(SERVICE_SECRET).expect("the secret is long enough");
        let verifier = Verifier::new(
            AccessPolicy::default(),
            clock.clone(),
            key.clone(),
            Some(TOKEN_SECRET),
            Arc::new(NoKeys),
        );
        let (mesh, metrics) = (Mesh::new(key, clock.clone()), Metrics::new());
        mesh.show(&metrics);
        Self {
            ids: IdSource::seeded(clock.clone(), 1),
            mesh,
            verifier: Arc::new(verifier),
            metrics,
            clock,
        }
    }

    /// What services get from the composition root.
    pub fn common(&self) -> Common {
        Common {
            mesh: self.mesh.clone(),
            verifier: Arc::clone(&self.verifier),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            recorder: Recorder::off(),
        }
    }

    /// `service` is this router.
    pub fn mount(&self, service: &str, router: Router) -> &Self {
        self.mesh.mount(service, router);
        self
    }

    /// A new tenant's administrator.
    pub fn caller(&self) -> Caller {
        self.caller_of(self.ids.next(), Role::Admin)
    }

    /// A new user of `tenant`.
    pub fn caller_of(&self, tenant: TenantId, role: Role) -> Caller {
        Caller {
            tenant,
            user: self.ids.next(),
            role,
            kind: CallerKind::User,
            context: RequestContext::background("test"),
        }
    }

    /// A service at its background work for `tenant`.
    pub fn service(&self, tenant: TenantId) -> Caller {
        Caller::service("test", tenant)
    }

    /// A bearer token of `caller`, good for an hour of the frozen clock (a minute for services).
    pub fn bearer(&self, caller: &Caller) -> String {
        let now = self.clock.now();
        if let CallerKind::Service(name) = &caller.kind {
            return self
                .mesh
                .service_key()
                .mint(name, caller, now)
                .expect("the key signs");
        }
        let claims = AccessClaims {
            iss: AccessPolicy::default().issuer,
            aud: AccessPolicy::default().audience,
            sub: caller.user,
            tenant: caller.tenant,
            role: caller.role,
            typ: TokenType::Access,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: now.timestamp() + 3600,
            jti: caller.user.to_string(),
            fam: self.ids.next(),
        };
        Signer::shared_secret(TOKEN_SECRET)
            .sign(&claims)
            .expect("the key signs")
    }
}
