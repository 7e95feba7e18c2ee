//! Line charts as SVG. Lines stretch to any width; their labels are text of the page and do not.

use std::fmt::Write;

use super::junit::escaped;

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub name: String,
    /// Class of the style sheet that has its colour.
    pub class: &'static str,
    /// At each second.
    pub values: Vec<f64>,
}

/// A stretch of time with a name.
#[derive(Clone, Debug)]
pub(super) struct Band {
    pub name: String,
    pub from: f64,
    pub to: f64,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub title: &'static str,
    pub unit: &'static str,
    /// Seconds from the begin to the end.
    pub seconds: f64,
    /// When each value was measured.
    pub times: Vec<f64>,
    pub lines: Vec<Line>,
    pub bands: Vec<Band>,
    /// Stretches that stand out: faults.
    pub marks: Vec<Band>,
}

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

impl Chart {
    /// As markup.
    pub fn markup(&self) -> String {
        let top = self
            .lines
            .iter()
            .flat_map(|line| &line.values)
            .copied()
            .fold(0.0, f64::max);
        let top = rounded_up(top);
        let seconds = self.seconds.max(1.0);
        let x = |at: f64| (at / seconds).clamp(0.0, 1.0) * WIDTH;
        let y = |value: f64| HEIGHT - (value / top).clamp(0.0, 1.0) * HEIGHT;
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<figure><figcaption>{} <small>{}</small></figcaption><div class=\"legend\">",
            escaped(self.title),
            escaped(self.unit)
        );
        for line in &self.lines {
            let _ = write!(
                text,
                "<span class=\"{}\">{}</span>",
                line.class,
                escaped(&line.name)
            );
        }
        text.push_str("</div><div class=\"plot\"><div class=\"ticks\">");
        for tick in [top, top / 2.0, 0.0] {
            let _ = write!(text, "<span>{}</span>", number(tick));
        }
        let _ = write!(
            text,
            "</div><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            escaped(self.title)
        );
        for (at, band) in self.bands.iter().enumerate() {
            let (from, to) = (x(band.from), x(band.to));
            let _ = write!(
                text,
                "<rect class=\"band{}\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"><title>{}</title></rect>",
                at % 2,
                (to - from).max(0.0),
                escaped(&band.name)
            );
        }
        for mark in &self.marks {
            let (from, to) = (x(mark.from), x(mark.to));
            let _ = write!(
                text,
                "<rect class=\"mark\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"><title>{}</title></rect>",
                (to - from).max(0.0),
                escaped(&mark.name)
            );
        }
        let _ = write!(
            text,
            "<path class=\"grid\" d=\"M0 {0}H{WIDTH}M0 0H{WIDTH}\"/>",
            HEIGHT / 2.0
        );
        for line in &self.lines {
            let mut path = String::new();
            for (at, (time, value)) in self.times.iter().zip(&line.values).enumerate() {
                let sign = if at == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{sign}{:.1} {:.1}", x(*time), y(*value));
            }
            let _ = write!(text, "<path class=\"line {}\" d=\"{path}\"/>", line.class);
        }
        text.push_str("</svg></div><div class=\"times\"><span>0 s</span>");
        if self.bands.len() > 1 {
            for band in &self.bands {
                let _ = write!(text, "<em>{}</em>", escaped(&band.name));
            }
        }
        let _ = write!(text, "<span>{seconds:.0} s</span></div></figure>");
        text
    }
}

/// The next number that is easy to read.
fn rounded_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    let found = steps
        .iter()
        .map(|step| step * power)
        .find(|step| *step >= value);
    found.unwrap_or(value)
}

/// A number with as many digits as it deserves.
pub(super) fn number(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.0}k", value / 1e3)
    } else if value >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_in_numbers_that_are_easy_to_read() {
        let tops = [0.0, 0.3, 1.0, 7.0, 11.0, 4_321.0, f64::NAN].map(rounded_up);
        assert_eq!(tops[..2], [1.0, 0.4]);
        assert_eq!(tops[2..], [1.0, 8.0, 20.0, 5_000.0, 1.0]);
    }

    #[test]
    fn every_value_is_a_point_and_names_are_escaped() {
        let chart = Chart {
            title: "Rate",
            unit: "per second",
            seconds: 4.0,
            times: vec![1.0, 2.0, 4.0],
            lines: vec![Line {
                name: "<b>".into(),
                class: "good",
                values: vec![0.0, 5.0, 10.0],
            }],
            bands: Vec::new(),
            marks: vec![Band {
                name: "<hang>".into(),
                from: 1.0,
                to: 3.0,
            }],
        };
        let markup = chart.markup();
        assert!(
            markup.contains("M250.0 200.0L500.0 100.0L1000.0 0.0"),
            "{markup}"
        );
        let mark = "<rect class=\"mark\" x=\"250.0\" y=\"0\" width=\"500.0\" height=\"200\"><title>&lt;hang&gt;";
        assert!(markup.contains(mark), "{markup}");
        assert!(markup.contains("&lt;b&gt;") && !markup.contains("<b>"));
    }
}
