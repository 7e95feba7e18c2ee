//! The simulated server under a load of its own, beside what was predicted of it.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::server::{MOST, key};
use super::{Model, Prediction, Script, Simulator, predict, rate_for, replay};
use crate::arrivals::{Random, Schedule};
use crate::engine::Load;
use crate::measure::Measure;
use crate::report::Report;
use crate::runner::{self, Options};
use crate::scenario::{Overrides, Prepared, Scenario};
use crate::steps::Registry;

/// Shares of what it can do at which the simulator is looked at.
pub const LOADS: [f64; 4] = [0.3, 0.5, 0.7, 0.85];
/// Requests that a prediction is made of.
const PREDICTED: usize = 6_000;
/// Bytes of the prompt that a check sends; four make a token.
const PROMPT: &str =
    "Which port has the oldest lighthouse on the northern coast, and when was it lit?";

/// What was measured beside what was predicted: means, in milliseconds, to the first token and to the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// Predicted.
    pub predicted_ms: (f64, f64),
    /// Measured.
    pub measured_ms: (f64, f64),
}

impl Checked {
    /// Of a prediction and the report of a run at its rate.
    pub fn of(prediction: &Prediction, report: &Report) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self {
            predicted_ms: (
                ms(prediction.first_token.mean()),
                ms(prediction.total.mean()),
            ),
            measured_ms: (
                report.total.spread(Measure::FirstEvent).mean,
                report.total.spread(Measure::Total).mean,
            ),
        }
    }

    /// How far the first token was from what was predicted, as a share.
    pub fn first_token(&self) -> f64 {
        self.measured_ms.0 / self.predicted_ms.0 - 1.0
    }

    /// How far the end was.
    pub fn whole(&self) -> f64 {
        self.measured_ms.1 / self.predicted_ms.1 - 1.0
    }
}

/// What is predicted at each of [`LOADS`].
pub fn predicted(model: &Model) -> Vec<(f64, Prediction)> {
    let tokens = PROMPT.len().div_ceil(4);
    let each = LOADS.iter().map(|&load| {
        let rate = rate_for(model, load, tokens);
        (load, predict(model, rate, PREDICTED, tokens))
    });
    each.collect()
}

/// What is predicted of the very requests that [`measure`] makes, at the moments at which it makes them: no
/// chance is left but that of the machine.
pub fn predicted_run(model: &Model, rate: f64, lasting: Duration) -> Result<Prediction, String> {
    let prepared = prepared(rate, lasting)?;
    let Load::Open {
        profile,
        burstiness,
    } = &prepared.plan.phases[0].load
    else {
        return Err("the load is not open".into());
    };
    let schedule = Schedule::new(profile, *burstiness, prepared.plan.seed, 0);
    let (arrivals, scripts) = schedule
        .map(|arrival| {
            // As the step of the scenario draws its `{n}`.
            let number = Random::new(arrival.draw, 0).below(1_000_000);
            let key = key(PROMPT, number);
            let script = model.script(key, PROMPT.len().div_ceil(4), 0, MOST as usize);
            (arrival.at, script)
        })
        .unzip::<_, _, Vec<Duration>, Vec<Script>>();
    Ok(replay(model, &arrivals, scripts, rate, 0))
}

fn prepared(rate: f64, lasting: Duration) -> Result<Prepared, String> {
    let text = format!(
        r#"name = "llm-sim"
about = "The simulator against its own prediction."
timeout = "5min"
[[phases]]
name = "all"
load = {{ kind = "constant", rate = {rate}, duration = "{}ms", burstiness = 1 }}
[[classes]]
name = "asker"
steps = [{{ step = "chat" }}]
[requests.chat]
method = "POST"
path = "/v1/chat/completions"
stream = true
body = '{{"stream": true, "seed": {{n}}, "messages": [{{"role": "user", "content": "{PROMPT}"}}]}}'
expect = {{ events = 3 }}
"#,
        lasting.as_millis()
    );
    let scenario = Scenario::parse("llm-sim", &text).map_err(|error| error.to_string())?;
    let overrides = Overrides {
        seed: 11,
        ..Overrides::default()
    };
    Prepared::new(scenario, &overrides, Registry::default(), Path::new("."))
        .map_err(|error| error.to_string())
}

/// Puts a simulator of its own under a load.
pub async fn measure(model: &Model, rate: f64, lasting: Duration) -> Result<Report, String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let prepared = prepared(rate, lasting)?;
    let options = Options::plain(format!("http://{address}"));
    let over = CancellationToken::new();
    let served = axum::serve(listener, Simulator::new(*model).router())
        .with_graceful_shutdown(over.clone().cancelled_owned());
    let load = async {
        let ran = Box::pin(runner::run(
            prepared,
            &options,
            CancellationToken::new(),
            |_| {},
            |_| {},
        ))
        .await;
        over.cancel();
        ran.map_err(|error| error.to_string())
    };
    let (report, served) = tokio::join!(load, std::future::IntoFuture::into_future(served));
    served.map_err(|error| error.to_string())?;
    report
}
