use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::*;
use crate::engine::{Ended, Ran};
use crate::machine::Usage;
use crate::measure::{ErrorClass, Outcome, Recorder, Sample, Series};
use crate::report::Circumstances;
use crate::scenario::{Overrides, Prepared, Scenario};
use crate::steps::Registry;
use crate::validity::Verdict;

/// A run of two seconds with everything in it that has to be told.
fn report(verdict: &[&str]) -> Report {
    let text = r#"
        name = "shop"
        about = "Front & <back>."
        objectives = ["errors = 0", "p95 < 1s for front"]
        [[phases]]
        name = "a & b"
        load = { kind = "constant", rate = 10, duration = "1s" }
        [[phases]]
        name = "c"
        load = { kind = "constant", rate = 10, duration = "1s" }
        [[classes]]
        name = "all"
        steps = [{ step = "front" }, { step = "back" }]
        [requests.front]
        path = "/"
        [requests.back]
        path = "/back"
    "#;
    let scenario = Scenario::parse("shop", text).unwrap();
    let prepared = Prepared::new(
        scenario,
        &Overrides::default(),
        Registry::default(),
        Path::new("."),
    )
    .unwrap();
    let mut series = Series::default();
    let recorder = Recorder::default();
    for second in 0..2_u16 {
        let now = Instant::now();
        for number in 0..10 {
            recorder.due();
            recorder.record(&Sample {
                phase: second,
                endpoint: number % 2,
                intended: now,
                began: now,
                connect: (number == 0).then_some(Duration::from_millis(1)),
                first_byte: Some(Duration::from_millis(2)),
                ended: now + Duration::from_millis(3 + u64::from(number)),
                outcome: match number {
                    9 => Outcome::Failed(ErrorClass::Server),
                    8 => Outcome::Shed,
                    _ => Outcome::Good,
                },
                bytes: 100,
                events: Vec::new(),
            });
        }
        recorder.example(1, || "500: <oops>".into());
        for number in 0..9 {
            let took = Duration::from_millis(100 + number * 10 + u64::from(second));
            recorder.slow(0, took, || Some(format!("trace-{second}-{number}")));
        }
        recorder.slow(0, Duration::from_secs(9), || None);
        series.absorb(u64::from(second), &recorder.take());
    }
    let ran = Ran {
        series,
        ended: Ended::Complete,
        elapsed: Duration::from_secs(2),
        phase_seconds: vec![1.0, 1.0],
        usage: Usage::default(),
    };
    let circumstances = Circumstances {
        target: "http://t".into(),
        started_at: "2026-01-01T00:00:00+00:00".into(),
        shards: 1,
        workers: Vec::new(),
        verdict: Verdict {
            reasons: verdict.iter().map(|reason| (*reason).to_owned()).collect(),
        },
        processes: Vec::new(),
        services: Vec::new(),
        notes: Vec::new(),
        faults: Vec::new(),
    };
    Report::new(&prepared, &ran, circumstances)
}

#[test]
fn a_report_that_was_written_is_read_back_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let report = report(&[]);
    let written = write(&report, folder.path()).unwrap();
    assert_eq!(written.len(), 6);
    assert!(
        written
            .iter()
            .all(|path| path.metadata().unwrap().len() > 0)
    );
    assert_eq!(read(&written[0]).unwrap(), report);
    assert_eq!(
        (report.total.good, report.total.shed, report.total.errors),
        (16, 2, 2)
    );
    assert_eq!(report.rows.len(), 4);
}

#[test]
fn junit_is_well_formed_and_fails_where_an_objective_is_missed() {
    let text = junit(&report(&["too \"late\" & <slow>"]));
    let mut reader = quick_xml::Reader::from_str(&text);
    let (mut cases, mut failures, mut errors) = (0, 0, 0);
    loop {
        use quick_xml::events::Event;
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    attribute.unwrap();
                }
                match tag.name().as_ref() {
                    "testcase" => cases += 1,
                    "failure" => failures += 1,
                    "error" => errors += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    assert_eq!((cases, failures, errors), (3, 1, 1), "{text}");
}

#[test]
fn the_histogram_log_has_every_second_in_full() {
    let report = report(&[]);
    let log = hdr_log(&report);
    let mut decoder = Deserializer::new();
    let mut counts = Vec::new();
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let encoded = interval.encoded_histogram();
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded)
                .unwrap();
            let histogram: Histogram<u64> = decoder.deserialize(&mut bytes.as_slice()).unwrap();
            counts.push(histogram.len());
        }
    }
    let wanted: Vec<u64> = report
        .series
        .iter()
        .map(|second| second.histogram.count())
        .collect();
    assert_eq!(counts, wanted, "{log}");
    assert_eq!(counts, [9, 9]);
}

#[test]
fn the_summary_has_the_fields_that_readers_of_k6_look_for() {
    let summary = k6_summary(&report(&[]));
    let metrics = &summary["metrics"];
    assert_eq!(metrics["http_reqs"]["count"], 20.0);
    assert_eq!(metrics["http_req_failed"]["passes"], 2);
    for key in ["avg", "min", "med", "max", "p(90)", "p(95)"] {
        assert!(
            metrics["http_req_duration"][key].as_f64().unwrap() > 0.0,
            "{key}"
        );
    }
    assert_eq!(summary["thresholds"]["errors = 0"]["ok"], false);
}

#[test]
fn every_line_of_the_prometheus_form_is_a_sample_or_a_comment() {
    let text = prometheus(&report(&[]));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('{').unwrap();
        let (_, value) = rest.rsplit_once("} ").unwrap();
        assert!(
            name.starts_with("touchstone_load_") && value.parse::<f64>().is_ok(),
            "{line}"
        );
    }
    assert!(
        text.contains("outcome=\"error\",class=\"server\"} 1"),
        "{text}"
    );
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows() {
    let page = html(&report(&["the host is <busy>"]));
    for foreign in ["<script", "http-equiv", "@import", "src=\"", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("INVALID: the host is &lt;busy&gt;") && !page.contains("<oops>"));
    assert_eq!(page.matches("<svg").count(), 5);
}

#[test]
fn the_slowest_answers_are_told_by_the_names_of_their_traces() {
    let report = report(&[]);
    let told: Vec<(&str, u64, f64)> = report
        .slowest
        .iter()
        .map(|slow| (slow.name.as_str(), slow.at, slow.ms))
        .collect();
    // Three of each second, and only those that have a name.
    let expected = [
        ("trace-1-8", 1, 181.0),
        ("trace-0-8", 0, 180.0),
        ("trace-1-7", 1, 171.0),
        ("trace-0-7", 0, 170.0),
        ("trace-1-6", 1, 161.0),
        ("trace-0-6", 0, 160.0),
    ];
    assert_eq!(told, expected);
    assert!(html(&report).contains("<code>trace-1-8</code>"));
}

#[test]
fn faults_stand_on_the_time_line_and_behind_every_chart() {
    let mut report = report(&[]);
    assert!(!html(&report).contains("<h2>Faults</h2>"));
    report.seconds = 10.0;
    report.faults = vec![crate::faults::FaultRow {
        phase: "a & b".into(),
        service: "document".into(),
        kind: "hang".into(),
        share: 0.5,
        from: 2.0,
        to: 7.0,
        matched: 40,
        struck: 21,
        first: Some(0.5),
    }];
    let page = html(&report);
    for part in [
        "document · hang (a &amp; b)",
        "2.0 – 7.0 s",
        "500 ms",
        "52.5 %",
        "<i style=\"left:20.00%;width:50.00%\"></i><b style=\"left:25.00%\"></b>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("class=\"mark\" x=\"200.0\"").count(), 5);
    let kept: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(kept.faults, report.faults);
}

#[test]
fn the_verdict_stands_above_every_number() {
    let text = summary(&report(&["late"]));
    assert!(text.starts_with("INVALID: late\n"), "{text}");
    assert!(
        text.contains("MISSED  errors = 0   (measured: 2)"),
        "{text}"
    );
}
