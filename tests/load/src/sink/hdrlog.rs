//! The log format of HdrHistogram: an interval histogram for each second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::report::Report;

/// As text; values are microseconds. Empty when it cannot be written, which memory alone could cause.
pub fn hdr_log(report: &Report) -> String {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let start: SystemTime = UNIX_EPOCH;
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(&format!(
        "[scenario {}, target {}]",
        report.scenario, report.target
    ));
    builder.add_comment(&format!(
        "[Histogram log format version 1.3, started at {}]",
        report.started_at
    ));
    builder
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(1000.0);
    let Ok(mut writer) = builder.begin_log_with(&mut bytes, &mut serializer) else {
        return String::new();
    };
    for second in &report.series {
        let histogram = second.histogram.dense();
        let at = Duration::from_secs(second.at);
        let written = writer.write_histogram(
            histogram.raw(),
            at,
            Duration::from_secs(1),
            Tag::new("total"),
        );
        if written.is_err() {
            break;
        }
    }
    drop(writer);
    String::from_utf8_lossy(&bytes).into_owned()
}
