use std::collections::VecDeque;

/// Longest line that is read.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Reads server-sent events out of bytes, however they are cut: `\n`, `\r\n` and `\r` end lines,
/// comments and other fields are skipped, `data` lines of one event are joined.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: Option<String>,
    after_cr: bool,
    ready: VecDeque<String>,
}

/// A line is longer than anything that a server would send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// Takes bytes; complete events are then given by [`Parser::next`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            let is_second_half = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            match byte {
                _ if is_second_half => {}
                b'\n' | b'\r' => self.end_line(),
                _ if self.line.len() >= MAX_LINE_BYTES => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// The bytes are over: what stands there counts, although no blank line ended it.
    pub fn finish(&mut self) {
        self.end_line();
        self.ready.extend(self.data.take());
    }

    /// The data of the next event.
    pub fn next(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.ready.extend(self.data.take());
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_start_matches('\u{feff}');
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::default();
        for part in parts {
            parser.push(part).unwrap();
        }
        parser.finish();
        std::iter::from_fn(|| parser.next()).collect()
    }

    #[test]
    fn reads_every_way_of_writing_events() {
        let text = b": ping\n\ndata: one\n\ndata:two\r\n\r\nevent: x\rdata: three\rdata: four\r\rid: 7\n\ndata: five";
        assert_eq!(read(&[text]), ["one", "two", "three\nfour", "five"]);
    }

    #[test]
    fn refuses_endless_lines() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; MAX_LINE_BYTES + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in "(data: |ё|\n|\r|\r\n|x|:){0,40}", cut in 0_usize..80) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), read(&[bytes]));
        }
    }
}
