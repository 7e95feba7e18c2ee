use std::fmt;
use std::str::FromStr;

/// A W3C `traceparent`, version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace: not zero.
    pub trace_id: u128,
    /// The caller's span: not zero.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// The text is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version 00 `traceparent`")]
pub struct ParseTraceParentError;

impl TraceParent {
    /// The same trace, seen from another span.
    pub const fn child(self, span_id: u64) -> Self {
        Self { span_id, ..self }
    }
}

impl FromStr for TraceParent {
    type Err = ParseTraceParentError;

    fn from_str(text: &str) -> Result<Self, ParseTraceParentError> {
        let lower_hex = |part: &str, len: usize| {
            part.len() == len
                && part
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else {
            return Err(ParseTraceParentError);
        };
        if version != "00" || !lower_hex(trace, 32) || !lower_hex(span, 16) || !lower_hex(flags, 2)
        {
            return Err(ParseTraceParentError);
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| ParseTraceParentError)?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| ParseTraceParentError)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| ParseTraceParentError)?;
        if trace_id == 0 || span_id == 0 {
            return Err(ParseTraceParentError);
        }
        Ok(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
        })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(
            f,
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn round_trips() {
        assert_eq!(
            SAMPLE
                .parse::<TraceParent>()
                .map(|parent| parent.to_string()),
            Ok(SAMPLE.into())
        );
    }

    #[test]
    fn refuses_other_versions_zeros_and_upper_case() {
        for text in [
            "",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(
                text.parse::<TraceParent>(),
                Err(ParseTraceParentError),
                "{text}"
            );
        }
    }
}
