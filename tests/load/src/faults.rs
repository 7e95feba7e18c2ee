//! Faults that a scenario asks for, and the proof that they fired.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use touchstone_faults::{KEY, PATH, Shown, Spec};

use crate::client::{Client, Read};
use crate::engine::Plan;
use crate::scenario::Prepared;
use crate::steps::Call;

/// From so many requests on the share has to hold.
const ENOUGH: u64 = 400;
/// How much later than its phase a fault begins, and earlier it ends.
const MARGIN: Duration = Duration::from_millis(250);
/// How far it may be off.
const POINTS: f64 = 0.02;

/// A fault of a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// In which phase: it begins a moment after it, and ends a moment before.
    pub phase: String,
    /// Which service has it.
    pub service: String,
    /// What goes wrong.
    pub fault: Spec,
}

/// What a fault did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultRow {
    /// The phase.
    pub phase: String,
    /// The service.
    pub service: String,
    /// What went wrong.
    pub kind: String,
    /// Which share of the requests was meant.
    pub share: f64,
    /// When it began, in seconds from the begin of the run.
    pub from: f64,
    /// When it ended.
    pub to: f64,
    /// Requests that it could have struck.
    pub matched: u64,
    /// Requests that it struck.
    pub struck: u64,
    /// When it struck first, in seconds after its begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<f64>,
}

/// Faults that cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// No key.
    #[error("the scenario asks for faults: give the target's key with --fault-key")]
    NoKey,
    /// The target knows none.
    #[error("no faults can be asked for at the target: it was started without FAULT_ADMIN_KEY")]
    Off,
    /// It was refused.
    #[error("the target refused the fault `{kind}` of `{service}`: {reason}")]
    Refused {
        /// Which.
        kind: String,
        /// Whose.
        service: String,
        /// Why.
        reason: String,
    },
}

/// Whether the faults fit the phases; what is wrong otherwise.
pub(crate) fn check(wanted: &[Wanted], plan: &Plan) -> Result<(), String> {
    for Wanted {
        phase,
        service,
        fault,
    } in wanted
    {
        let which = format!("the fault `{}` of `{service}`", fault.kind);
        if span(plan, phase).is_none() {
            let phase = format!("the phase `{phase}`, which there is not");
            return Err(format!(
                "{which} is of {phase}, or whose begin and end are not known before"
            ));
        }
        if fault.after_ms > 0 || fault.for_ms.is_some() {
            return Err(format!("{which} has its time from its phase"));
        }
        let problems = fault.problems();
        if !problems.is_empty() {
            return Err(format!("{which}: {}", problems.join("; ")));
        }
    }
    Ok(())
}

/// Begin and length of the faults of a phase, if both are known before the run.
fn span(plan: &Plan, phase: &str) -> Option<(Duration, Duration)> {
    let mut from = Duration::ZERO;
    for own in &plan.phases {
        let lasting = own.load.duration()?;
        if own.name == phase {
            // Requests that belong to its neighbours are none of its business.
            let margin = MARGIN.min(lasting / 10);
            return Some((from + margin, lasting.saturating_sub(margin * 2)));
        }
        from += lasting;
    }
    None
}

/// A fault that was asked for, at every instance of its service.
struct Asked {
    wanted: Wanted,
    from: Duration,
    lasting: Duration,
    /// Its number, and when it begins there, by instance.
    instances: BTreeMap<String, Shown>,
}

/// The faults of a run.
pub(crate) struct Faults {
    key: HeaderValue,
    asked: Vec<Asked>,
}

impl Faults {
    /// Asks for all faults of a run that begins now; `None` when there are none.
    pub async fn arm(
        client: &Client,
        prepared: &Prepared,
        key: Option<&str>,
    ) -> Result<Option<Self>, FaultsError> {
        let (wanted, plan) = (&prepared.scenario.faults, &prepared.plan);
        if wanted.is_empty() {
            return Ok(None);
        }
        let key = key.and_then(|key| HeaderValue::from_str(key.trim()).ok());
        let mut key = key.ok_or(FaultsError::NoKey)?;
        key.set_sensitive(true);
        let mut faults = Self {
            key,
            asked: Vec::new(),
        };
        let began = Instant::now();
        for (number, wanted) in wanted.iter().enumerate() {
            let Some((from, lasting)) = span(plan, &wanted.phase) else {
                continue;
            };
            let mut spec = wanted.fault.clone();
            // What asking for the others has taken is not part of the run.
            let after = from.saturating_sub(began.elapsed());
            spec.after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            spec.for_ms = Some(
                u64::try_from(lasting.as_millis())
                    .unwrap_or(u64::MAX)
                    .max(1),
            );
            spec.seed = spec
                .seed
                .or(Some((plan.seed >> 1).wrapping_add(number as u64)));
            match faults.ask(client, &wanted.service, &spec).await {
                Ok(instances) => faults.asked.push(Asked {
                    wanted: wanted.clone(),
                    from,
                    lasting,
                    instances,
                }),
                Err(error) => {
                    faults.clear(client).await;
                    return Err(error);
                }
            }
        }
        Ok(Some(faults))
    }

    async fn ask(
        &self,
        client: &Client,
        service: &str,
        spec: &Spec,
    ) -> Result<BTreeMap<String, Shown>, FaultsError> {
        let refused = |reason: String| FaultsError::Refused {
            kind: spec.kind.to_string(),
            service: service.to_owned(),
            reason,
        };
        let body = serde_json::to_value(spec).map_err(|error| refused(error.to_string()))?;
        let call = Call::post(format!("{PATH}/at/{service}"), &body);
        let (status, answer) = self.send(client, call).await.map_err(refused)?;
        if status == StatusCode::NOT_FOUND && answer["code"] != "fault.unknown_service" {
            return Err(FaultsError::Off);
        }
        if !status.is_success() {
            let detail = answer["detail"].as_str().unwrap_or_default();
            return Err(refused(format!("{status}: {detail}")));
        }
        each(answer).map_err(|error| refused(error.to_string()))
    }

    /// What the faults did, and what speaks against the run: a fault that touched nothing, or not its
    /// share. Takes all of them back.
    pub async fn prove(faults: Option<Self>, client: &Client) -> (Vec<FaultRow>, Vec<String>) {
        let (mut rows, mut reasons) = (Vec::new(), Vec::new());
        let Some(faults) = faults else {
            return (rows, reasons);
        };
        for asked in &faults.asked {
            let Wanted {
                phase,
                service,
                fault,
            } = &asked.wanted;
            let name = format!("the fault `{}` of `{service}` in `{phase}`", fault.kind);
            let (mut matched, mut struck, mut first) = (0, 0, None::<f64>);
            for (instance, before) in &asked.instances {
                match faults.shown(client, service, instance, before.id).await {
                    Ok(now) => {
                        matched += now.matched;
                        struck += now.struck;
                        let after = now
                            .first_ms
                            .map(|at| at.saturating_sub(now.from_ms) as f64 / 1e3);
                        first = match (first, after) {
                            (Some(one), Some(other)) => Some(one.min(other)),
                            (one, other) => one.or(other),
                        };
                    }
                    Err(reason) => {
                        reasons.push(format!("what {name} did cannot be told: {reason}"));
                    }
                }
            }
            let reached = struck as f64 / (matched as f64).max(1.0);
            if struck == 0 {
                reasons.push(format!("{name} touched nothing"));
            } else if matched >= ENOUGH && (reached - fault.share).abs() > POINTS {
                reasons.push(format!(
                    "{name} touched {:.1} % instead of {:.1} %",
                    reached * 100.0,
                    fault.share * 100.0
                ));
            }
            rows.push(FaultRow {
                phase: phase.clone(),
                service: service.clone(),
                kind: fault.kind.to_string(),
                share: fault.share,
                from: asked.from.as_secs_f64(),
                to: (asked.from + asked.lasting).as_secs_f64(),
                matched,
                struck,
                first,
            });
        }
        faults.clear(client).await;
        (rows, reasons)
    }

    async fn shown(
        &self,
        client: &Client,
        service: &str,
        instance: &str,
        id: u64,
    ) -> Result<Shown, String> {
        let call = Call::get(format!("{PATH}/at/{service}/{id}"));
        let (status, answer) = self.send(client, call).await?;
        if !status.is_success() {
            return Err(format!("{status}"));
        }
        let mut all = each(answer).map_err(|error| error.to_string())?;
        all.remove(instance)
            .ok_or_else(|| format!("the instance `{instance}` has gone"))
    }

    /// Takes all of them back, as far as that can be done: they end by themselves as well.
    async fn clear(&self, client: &Client) {
        for asked in &self.asked {
            let ids: std::collections::BTreeSet<_> =
                asked.instances.values().map(|shown| shown.id).collect();
            for id in ids {
                let path = format!("{PATH}/at/{}/{id}", asked.wanted.service);
                let call = Call::get(path).method(Method::DELETE);
                let _ = self.send(client, call).await;
            }
        }
    }

    async fn send(&self, client: &Client, call: Call) -> Result<(StatusCode, Value), String> {
        let call = call.header(KEY, self.key.clone()).anonymous().keep();
        let request = call
            .request(client, None)
            .map_err(|error| error.to_string())?;
        let exchange = client
            .exchange(&mut client.lane(), request, Read::Keep)
            .await;
        let answer = exchange.result.map_err(|failure| failure.what)?;
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok((answer.status, body))
    }
}

/// One answer, or that of each instance.
fn each(mut answer: Value) -> Result<BTreeMap<String, Shown>, serde_json::Error> {
    match answer.get_mut("instances").map(Value::take) {
        Some(instances) => serde_json::from_value(instances),
        None => Ok(BTreeMap::from([(
            String::new(),
            serde_json::from_value(answer)?,
        )])),
    }
}

impl FaultRow {
    /// In a line.
    pub fn line(&self) -> String {
        let first = self.first.map_or(String::new(), |first| {
            format!(", the first one {:.0} ms after its begin", first * 1e3)
        });
        format!(
            "fault `{}` of `{}` in `{}`: struck {} of {} requests ({:.1} %, {:.1} % were asked for){first}",
            self.kind,
            self.service,
            self.phase,
            self.struck,
            self.matched,
            self.struck as f64 / (self.matched as f64).max(1.0) * 100.0,
            self.share * 100.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Scenario};
    use crate::steps::Registry;

    const TEXT: &str = r#"
name = "x"
about = "x"
[[phases]]
name = "calm"
load = { kind = "users", users = 1, duration = "2s" }
[[phases]]
name = "storm"
load = { kind = "users", users = 1, duration = "4s" }
[[classes]]
name = "c"
steps = [{ step = "health" }]
[[faults]]
phase = "storm"
service = "document"
fault = { kind = "hang" }
"#;

    fn prepare(text: &str) -> Result<Prepared, String> {
        let scenario = Scenario::parse("x", text).map_err(|error| error.to_string())?;
        let overrides = Overrides {
            scale: Some(0.5),
            ..Overrides::default()
        };
        let steps = Registry::of_the_stack();
        Prepared::new(scenario, &overrides, steps, std::path::Path::new("."))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_fault_stays_inside_of_its_phase() {
        let prepared = prepare(TEXT).unwrap();
        let found = span(&prepared.plan, "storm");
        assert_eq!(
            found,
            Some((Duration::from_millis(1200), Duration::from_millis(1600)))
        );
    }

    #[test]
    fn faults_that_cannot_be_are_found_before_the_run() {
        for (from, to, told) in [
            ("phase = \"storm\"", "phase = \"strom\"", "`strom`"),
            ("\"hang\"", "\"bang\"", "bang"),
            ("\"hang\"", "\"refuse\"", "only calls"),
            (
                "\"hang\"",
                "\"hang\", for_ms = 5",
                "its time from its phase",
            ),
        ] {
            let error = prepare(&TEXT.replace(from, to)).unwrap_err();
            assert!(error.contains(told), "{to}: {error}");
        }
    }
}
