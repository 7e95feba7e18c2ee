//! Argon2id behind a semaphore, off the async threads.

use std::num::NonZero;
use std::sync::Arc;

use argon2::password_hash::Error as PhcError;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::config::Argon2Config;
use crate::domain::Password;
use crate::metrics::{AuthMetrics, Purpose};
use crate::secrets::random;

/// Bytes of salt.
const SALT_BYTES: usize = 16;

/// A hash was not computed.
#[derive(Debug, thiserror::Error)]
pub enum HasherError {
    /// Too many wait already.
    #[error("too many password checks are waiting; come back in a moment")]
    Busy,
    /// The parameters are not ones of Argon2.
    #[error("the Argon2 parameters do not work")]
    Params(#[source] argon2::Error),
    /// The stored hash cannot be read, or the computation failed.
    #[error("the password hash cannot be computed")]
    Hash(#[source] PhcError),
    /// The worker died.
    #[error("the hashing worker died")]
    Worker(#[source] tokio::task::JoinError),
    /// No salt.
    #[error("no salt for a password hash")]
    Salt(#[source] crate::secrets::NoRandomness),
}

/// Computes and checks password hashes, so many at once and so many waiting.
#[derive(Clone, Debug)]
pub struct Hasher {
    params: Params,
    /// One permit per hash in work: bounds memory and CPU.
    slots: Arc<Semaphore>,
    /// One permit per request, in work or waiting: bounds the queue.
    admission: Arc<Semaphore>,
    /// A hash of nobody's password with the present parameters, for unknown users.
    decoy: Arc<str>,
    metrics: AuthMetrics,
}

impl Hasher {
    /// A hasher; computes the decoy at once.
    pub fn new(config: &Argon2Config, metrics: AuthMetrics) -> Result<Self, HasherError> {
        let kibibytes = u32::try_from(config.memory.as_u64() / 1024).unwrap_or(u32::MAX);
        let params = Params::new(kibibytes, config.iterations, config.parallelism, None)
            .map_err(HasherError::Params)?;
        let slots = match config.slots {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            slots => slots,
        };
        let nobody = random::<32>().map_err(HasherError::Salt)?;
        let decoy = compute(&params, &nobody)?;
        Ok(Self {
            params,
            slots: Arc::new(Semaphore::new(slots)),
            admission: Arc::new(Semaphore::new(slots.saturating_add(config.queue))),
            decoy: decoy.into(),
            metrics,
        })
    }

    /// The hash of a password, in PHC form.
    pub async fn hash(
        &self,
        password: &Password,
        purpose: &'static str,
    ) -> Result<String, HasherError> {
        let (password, params) = (password.clone(), self.params.clone());
        self.run(purpose, move || compute(&params, password.as_bytes()))
            .await
    }

    /// Whether a password is the one of `stored`.
    pub async fn verify(
        &self,
        password: &Password,
        stored: &str,
        purpose: &'static str,
    ) -> Result<bool, HasherError> {
        let (password, stored) = (password.clone(), stored.to_owned());
        self.run(purpose, move || check(password.as_bytes(), &stored))
            .await
    }

    /// Spends what a check costs and says no: unknown users take the time that known ones take.
    pub async fn verify_nobody(&self, password: &Password) -> Result<bool, HasherError> {
        let decoy = Arc::clone(&self.decoy);
        self.verify(password, &decoy, "decoy").await.map(|_| false)
    }

    /// Whether a stored hash is weaker than what is made today.
    pub fn is_outdated(&self, stored: &str) -> bool {
        let Ok(hash) = PasswordHash::new(stored) else {
            return true;
        };
        let below = |name: &str, present: u32| {
            hash.params
                .get_decimal(name)
                .is_none_or(|value| value < present)
        };
        hash.algorithm.as_str() != Algorithm::Argon2id.as_str()
            || below("m", self.params.m_cost())
            || below("t", self.params.t_cost())
            || below("p", self.params.p_cost())
    }

    /// Runs a job in a slot. A caller that goes away gives up its place in the queue, but a job in
    /// work keeps its slot until it is done.
    async fn run<T: Send + 'static>(
        &self,
        purpose: &'static str,
        job: impl FnOnce() -> Result<T, HasherError> + Send + 'static,
    ) -> Result<T, HasherError> {
        let Ok(admission) = Arc::clone(&self.admission).try_acquire_owned() else {
            self.metrics.hashes_refused.inc();
            return Err(HasherError::Busy);
        };
        // The semaphore is never closed.
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| HasherError::Busy)?;
        let metrics = self.metrics.clone();
        let work = move || {
            let _permits = (slot, admission);
            metrics.hashes.get_or_create(&Purpose { purpose }).inc();
            let running = metrics.hashes_running.inc() + 1;
            metrics
                .hashes_running_peak
                .inner()
                .fetch_max(running, std::sync::atomic::Ordering::Relaxed);
            let result = job();
            metrics.hashes_running.dec();
            result
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(HasherError::Worker)?
    }
}

fn compute(params: &Params, password: &[u8]) -> Result<String, HasherError> {
    let salt = random::<SALT_BYTES>().map_err(HasherError::Salt)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let hash: PasswordHash = argon2
        .hash_password_with_salt(password, &salt)
        .map_err(HasherError::Hash)?;
    Ok(hash.to_string())
}

/// Checks with the parameters of the stored hash.
fn check(password: &[u8], stored: &str) -> Result<bool, HasherError> {
    let hash = PasswordHash::new(stored).map_err(|error| HasherError::Hash(error.into()))?;
    match Argon2::default().verify_password(password, &hash) {
        Ok(()) => Ok(true),
        Err(PhcError::PasswordInvalid) => Ok(false),
        Err(error) => Err(HasherError::Hash(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;
    use bytesize::ByteSize;
    use touchstone_telemetry::Metrics;

    fn config(memory: ByteSize, slots: usize, queue: usize) -> Argon2Config {
        Argon2Config {
            memory,
            iterations: 1,
            parallelism: 1,
            slots,
            queue,
        }
    }

    fn hasher(config: &Argon2Config) -> Hasher {
        Hasher::new(config, AuthMetrics::new(&Metrics::new().scope("auth"))).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::offered(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_holds_to_the_byte() {
        let hasher = hasher(&config(ByteSize::kib(64), 1, 4));
        let stored = hasher
            .hash(&password("pass word"), "register")
            .await
            .unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"),
            "{stored}"
        );
        assert!(
            hasher
                .verify(&password("pass word"), &stored, "login")
                .await
                .unwrap()
        );
        for wrong in ["pass word ", "Pass word", "pass\u{a0}word", ""] {
            assert!(
                !hasher
                    .verify(&password(wrong), &stored, "login")
                    .await
                    .unwrap()
            );
        }
        assert!(!hasher.verify_nobody(&password("pass word")).await.unwrap());
        let counted = |purpose| {
            hasher
                .metrics
                .hashes
                .get_or_create(&Purpose { purpose })
                .get()
        };
        assert_eq!(
            (counted("register"), counted("login"), counted("decoy")),
            (1, 5, 1)
        );
    }

    #[tokio::test]
    async fn a_hash_is_outdated_when_the_parameters_rose() {
        let (weak, strong) = (
            hasher(&config(ByteSize::kib(64), 1, 4)),
            hasher(&config(ByteSize::kib(128), 1, 4)),
        );
        let old = weak.hash(&password("password"), "register").await.unwrap();
        assert!(strong.is_outdated(&old) && !weak.is_outdated(&old));
        assert!(
            strong
                .verify(&password("password"), &old, "login")
                .await
                .unwrap()
        );
        let new = strong.hash(&password("password"), "rehash").await.unwrap();
        assert!(!strong.is_outdated(&new) && !weak.is_outdated(&new));
    }

    #[tokio::test]
    async fn no_more_run_than_slots_and_no_more_wait_than_the_queue_holds() {
        let hasher = hasher(&config(ByteSize::kib(64), 2, 10));
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let all = (0..100).map(|_| {
            let gate = Arc::clone(&gate);
            hasher.run("login", move || {
                let (open, changed) = &*gate;
                drop(
                    changed
                        .wait_while(open.lock().unwrap(), |open| !*open)
                        .unwrap(),
                );
                Ok(())
            })
        });
        // Nothing finishes before everybody has asked.
        let asked = async {
            while hasher.metrics.hashes_refused.get() < 88 {
                tokio::task::yield_now().await;
            }
            *gate.0.lock().unwrap() = true;
            gate.1.notify_all();
        };
        let (results, ()) = tokio::join!(futures_util::future::join_all(all), asked);
        let busy = results
            .iter()
            .filter(|result| matches!(result, Err(HasherError::Busy)));
        assert_eq!(
            (
                busy.count(),
                results.iter().filter(|result| result.is_ok()).count()
            ),
            (88, 12)
        );
        assert_eq!(hasher.metrics.hashes_running.get(), 0);
        assert!((1..=2).contains(&hasher.metrics.hashes_running_peak.get()));
    }

    #[tokio::test]
    async fn a_damaged_hash_is_an_error_and_no_verdict() {
        let hasher = hasher(&config(ByteSize::kib(64), 1, 4));
        let verdict = hasher
            .verify(&password("password"), "$argon2id$nonsense", "login")
            .await;
        assert!(matches!(verdict, Err(HasherError::Hash(_))));
    }
}
