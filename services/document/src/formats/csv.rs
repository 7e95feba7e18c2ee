use csv::{ReaderBuilder, StringRecord};

use super::output::Output;
use super::{ExtractError, Extracted, Limits};

/// Lines that are looked at to find the delimiter.
const SNIFFED_LINES: usize = 20;
const DELIMITERS: [u8; 4] = *b",;\t|";

/// Turns every row into a paragraph: `header: value; header: value`.
///
/// Rows may be ragged; cells beyond the header are named by their position, empty cells are left
/// out. A first row with numbers or gaps is no header.
pub(super) fn extract(text: &str, limits: Limits) -> Result<Extracted, ExtractError> {
    let mut output = Output::new(text.len(), limits);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text))
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut first = StringRecord::new();
    if !read(&mut reader, &mut first)? {
        return output.finish(None);
    }
    let header: Vec<String> = if is_header(&first) {
        first.iter().map(one_line).collect()
    } else {
        push_row(&mut output, &[], &first)?;
        Vec::new()
    };
    let mut row = StringRecord::new();
    let mut rows = 0_usize;
    while read(&mut reader, &mut row)? {
        push_row(&mut output, &header, &row)?;
        rows += 1;
    }
    if rows == 0 && !header.is_empty() {
        output.push(&header.join("; "))?;
    }
    output.finish(None)
}

fn read(reader: &mut csv::Reader<&[u8]>, row: &mut StringRecord) -> Result<bool, ExtractError> {
    reader
        .read_record(row)
        .map_err(|error| ExtractError::Damaged(error.to_string()))
}

fn push_row(
    output: &mut Output,
    header: &[String],
    row: &StringRecord,
) -> Result<(), ExtractError> {
    let mut cells = 0;
    for (at, value) in row.iter().enumerate() {
        let value = one_line(value);
        if value.is_empty() {
            continue;
        }
        if cells > 0 {
            output.push("; ")?;
        }
        match header.get(at).filter(|name| !name.is_empty()) {
            Some(name) => {
                output.push(name)?;
                output.push(": ")?;
            }
            None if !header.is_empty() => output.push(&format!("column {}: ", at + 1))?,
            None => {}
        }
        output.push(&value)?;
        cells += 1;
    }
    output.end_block()
}

fn one_line(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_header(row: &StringRecord) -> bool {
    row.iter().all(|cell| {
        let cell = cell.trim();
        !cell.is_empty() && cell.replace(',', ".").parse::<f64>().is_err()
    })
}

/// The delimiter that splits the first lines most evenly.
fn delimiter(text: &str) -> u8 {
    let mut best = (b',', 0_usize);
    for candidate in DELIMITERS {
        let counts: Vec<usize> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .take(SNIFFED_LINES)
            .map(|line| count_outside_quotes(line, candidate))
            .collect();
        let Some(&first) = counts.first() else {
            continue;
        };
        let even = counts.iter().filter(|count| **count == first).count();
        // Evenness over all lines counts first, the number of columns second.
        let score = if first == 0 {
            0
        } else {
            even * 1000 + first.min(999)
        };
        if score > best.1 {
            best = (candidate, score);
        }
    }
    best.0
}

fn count_outside_quotes(line: &str, delimiter: u8) -> usize {
    let mut quoted = false;
    line.bytes()
        .filter(|byte| {
            if *byte == b'"' {
                quoted = !quoted;
            }
            !quoted && *byte == delimiter
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(csv: &str) -> String {
        extract(csv, Limits::default()).unwrap().text
    }

    #[test]
    fn rows_name_their_cells() {
        assert_eq!(
            text("River,Length\nNile,\"6,650 km\"\n\"Волга\nреки\",3530\n"),
            "River: Nile; Length: 6,650 km\n\nRiver: Волга реки; Length: 3530"
        );
    }

    #[test]
    fn sniffs_the_delimiter() {
        assert_eq!(text("a;b\n1,5;2\n"), "a: 1,5; b: 2");
        assert_eq!(text("a\tb\n1\t2\n"), "a: 1; b: 2");
        assert_eq!(text("a|b\n1|2\n"), "a: 1; b: 2");
    }

    #[test]
    fn ragged_rows_and_missing_headers_are_fine() {
        assert_eq!(
            text("a,b\n1\n1,2,3\n,,\n"),
            "a: 1\n\na: 1; b: 2; column 3: 3"
        );
        assert_eq!(text("1,2\n3,4\n"), "1; 2\n\n3; 4");
        assert_eq!(text("name\nNile\n"), "name: Nile");
        assert_eq!(text("only,header\n"), "only; header");
    }

    #[test]
    fn a_long_header_on_many_rows_is_a_bomb() {
        let mut csv = format!("{}\n", "h".repeat(20_000));
        csv.push_str(&"1\n".repeat(20_000));
        assert!(matches!(
            extract(&csv, Limits::default()),
            Err(ExtractError::TooLarge(_))
        ));
    }
}
