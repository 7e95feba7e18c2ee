//! Refresh families against a simple oracle: whatever is called in whatever order, a family has
//! one live leaf at most, and a replay ends it.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use touchstone_api::auth::TokenResponse;

use crate::harness::{App, PASSWORD};

#[derive(Clone, Debug)]
enum Step {
    /// Opens another login.
    Login,
    /// Refreshes with the token issued so many tokens ago, over all logins.
    Refresh(usize),
    /// Logs out with such a token.
    Logout(usize),
    /// Lets so many milliseconds pass.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Login),
        // Mostly the newest tokens: the interesting ones.
        8 => prop_oneof![4 => 0..3_usize, 1 => 0..20_usize].prop_map(Step::Refresh),
        1 => (0..6_usize).prop_map(Step::Logout),
        4 => prop_oneof![0..9_000_u64, 9_000..12_000_u64].prop_map(Step::Wait),
    ]
}

/// What a family should be, without hashes, stores and generations.
#[derive(Default)]
struct Family {
    /// Tokens in the order of their birth; the last one lives.
    lineage: Vec<String>,
    rotated_at: u64,
    is_over: bool,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Child,
    Same(String),
    Refused,
}

impl Family {
    fn refresh(&mut self, token: &str, now: u64) -> Expected {
        let place = self
            .lineage
            .iter()
            .position(|known| known == token)
            .unwrap();
        let leaf = self.lineage.len() - 1;
        if self.is_over {
            return Expected::Refused;
        }
        if place == leaf {
            self.rotated_at = now;
            return Expected::Child;
        }
        if place + 1 == leaf && now - self.rotated_at <= 10_000 {
            return Expected::Same(self.lineage[leaf].clone());
        }
        self.is_over = true;
        Expected::Refused
    }
}

#[derive(Default)]
struct Oracle {
    families: Vec<Family>,
    /// Every token with its family, oldest first.
    issued: Vec<(usize, String)>,
    now: u64,
}

impl Oracle {
    fn opened(&mut self, token: String) {
        self.issued.push((self.families.len(), token.clone()));
        self.families.push(Family {
            lineage: vec![token],
            rotated_at: self.now,
            is_over: false,
        });
    }

    fn pick(&self, ago: usize) -> (usize, String) {
        self.issued[self.issued.len() - 1 - ago.min(self.issued.len() - 1)].clone()
    }
}

async fn run(steps: Vec<Step>) {
    let app = App::new().await;
    let mut oracle = Oracle::default();
    oracle.opened(app.register("ada@example.org").await.refresh_token);
    for step in steps {
        match step {
            Step::Login => {
                let answer = app.login("ada@example.org", PASSWORD).await;
                oracle.opened(answer.json::<TokenResponse>().refresh_token);
            }
            Step::Wait(millis) => {
                oracle.now += millis;
                app.clock.advance(Duration::from_millis(millis));
            }
            Step::Logout(ago) => {
                let (family, token) = oracle.pick(ago);
                oracle.families[family].is_over = true;
                assert_eq!(app.logout(&token).await.status, 204);
            }
            Step::Refresh(ago) => {
                let (family, token) = oracle.pick(ago);
                let now = oracle.now;
                let expected = oracle.families[family].refresh(&token, now);
                let answer = app.refresh(&token).await;
                if expected == Expected::Refused {
                    assert_eq!(answer.problem(), "401 auth.invalid_refresh_token");
                    continue;
                }
                assert_eq!(answer.status, 200, "{}", answer.text());
                let tokens: TokenResponse = answer.json();
                match expected {
                    Expected::Same(child) => assert_eq!(tokens.refresh_token, child),
                    _ => {
                        oracle.families[family]
                            .lineage
                            .push(tokens.refresh_token.clone());
                        oracle.issued.push((family, tokens.refresh_token));
                    }
                }
                assert!(app.is_valid(&tokens.access_token).await);
            }
        }
    }
    let distinct: BTreeSet<_> = oracle.issued.iter().map(|(_, token)| token).collect();
    assert_eq!(
        distinct.len(),
        oracle.issued.len(),
        "a token was issued twice"
    );
    // At the end the leaf of each living family lives, and nothing of a dead one does.
    for family in &oracle.families {
        let leaf = family.lineage.last().unwrap();
        let body = json!({"refresh_token": leaf});
        let status = app
            .anonymous()
            .post("/auth/refresh", &body)
            .await
            .status
            .as_u16();
        assert_eq!(status, if family.is_over { 401 } else { 200 });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_family_has_one_live_leaf_at_most_and_a_replay_ends_it(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
