use std::time::Duration;

use super::args::LlmSimArgs;
use super::{DONE, MISSED, Surroundings, USAGE, note, out};
use crate::llm::check::{self, Checked};
use crate::llm::{Faults, Model, PROFILES, Prediction, Profile, Simulator};

/// Farthest that a measured mean may be from the predicted one.
const CLOSE: f64 = 0.05;

/// Serves the simulator, or checks it against its own prediction. Returns the exit code.
pub async fn llm_sim(args: &LlmSimArgs, surroundings: &Surroundings) -> u8 {
    let Some(profile) = Profile::named(&args.profile) else {
        let known: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
        note(&format!(
            "error: there is no profile `{}`; there are {}",
            args.profile,
            known.join(", ")
        ));
        return USAGE;
    };
    let shares = [
        args.rate_limited,
        args.server_error,
        args.cut,
        args.malformed,
        args.fabricated,
    ];
    let plausible = shares.iter().all(|share| (0.0..=1.0).contains(share))
        && shares.iter().sum::<f64>() <= 1.0
        && (0.0..=100.0).contains(&args.load_factor)
        && (1.0..=100_000.0).contains(&args.tokens);
    if !plausible {
        note(
            "error: shares go from 0 to 1 and so does their sum, --load-factor from 0 to 100, --tokens from 1 to 100000",
        );
        return USAGE;
    }
    let model = Model {
        profile,
        slots: args.slots as usize,
        queue: args.queue as usize,
        load_factor: args.load_factor,
        tokens: args.tokens,
        tokens_sigma: 0.3,
        faults: Faults {
            rate_limited: args.rate_limited,
            server_error: args.server_error,
            cut: args.cut,
            malformed: args.malformed,
            fabricated: args.fabricated,
        },
        seed: args.seed,
    };
    let predicted = check::predicted(&model);
    match args.check {
        Some(lasting) => Box::pin(check(&model, &predicted, lasting.into(), surroundings)).await,
        None => serve(&model, &predicted, args.port).await,
    }
}

fn row(load: f64, prediction: &Prediction) -> String {
    let ms = |seconds: f64| seconds * 1e3;
    format!(
        "{:>4.0} %  {:>8.2}/s   first token mean {:>8.1} ms, p95 {:>8.1} ms   whole mean {:>9.1} ms, p95 {:>9.1} ms   refused {}",
        load * 100.0,
        prediction.rate,
        ms(prediction.first_token.mean().as_secs_f64()),
        ms(prediction.first_token.quantile(0.95).as_secs_f64()),
        ms(prediction.total.mean().as_secs_f64()),
        ms(prediction.total.quantile(0.95).as_secs_f64()),
        prediction.refused,
    )
}

async fn serve(model: &Model, predicted: &[(f64, Prediction)], port: u16) -> u8 {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            note(&format!("error: cannot listen on {address}: {error}"));
            return USAGE;
        }
    };
    note(&format!(
        "simulated `{}` with {} slots; predicted:",
        model.profile.name, model.slots
    ));
    for (load, prediction) in predicted {
        note(&row(*load, prediction));
    }
    let told = listener.local_addr().unwrap_or(address);
    note(&format!("OPENAI_BASE_URL=http://{told}/v1"));
    let stopped = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let served =
        axum::serve(listener, Simulator::new(*model).router()).with_graceful_shutdown(stopped);
    match served.await {
        Ok(()) => DONE,
        Err(error) => {
            note(&format!("error: {error}"));
            MISSED
        }
    }
}

async fn check(
    model: &Model,
    predicted: &[(f64, Prediction)],
    lasting: Duration,
    surroundings: &Surroundings,
) -> u8 {
    let mut all_close = true;
    let mut rows = Vec::new();
    for (load, prediction) in predicted {
        note(&format!("predicted {}", row(*load, prediction)));
        let report = match Box::pin(check::measure(model, prediction.rate, lasting)).await {
            Ok(report) => report,
            Err(error) => {
                note(&format!("error: {error}"));
                return USAGE;
            }
        };
        let own = match check::predicted_run(model, prediction.rate, lasting) {
            Ok(own) => own,
            Err(error) => {
                note(&format!("error: {error}"));
                return USAGE;
            }
        };
        let checked = Checked::of(&own, &report);
        let (first, whole) = (checked.first_token(), checked.whole());
        all_close &= first.abs() <= CLOSE && whole.abs() <= CLOSE;
        let (first_ms, whole_ms) = (checked.measured_ms.0, checked.measured_ms.1);
        if surroundings.json {
            rows.push(serde_json::json!({
                "load": load, "rate": prediction.rate, "valid": report.verdict.is_valid(),
                "first_token_ms": {"predicted": checked.predicted_ms.0, "measured": first_ms},
                "total_ms": {"predicted": checked.predicted_ms.1, "measured": whole_ms},
            }));
        } else {
            out(&format!(
                "{:>4.0} %: first token {first_ms:.1} ms ({:+.1} %), whole {whole_ms:.1} ms ({:+.1} %), {} requests, {} errors, {}",
                load * 100.0,
                first * 100.0,
                whole * 100.0,
                report.total.requests,
                report.total.errors,
                report.verdict
            ));
        }
    }
    if surroundings.json {
        out(&serde_json::Value::Array(rows).to_string());
    }
    if all_close { DONE } else { MISSED }
}
