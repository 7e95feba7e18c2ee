mod xml;

use std::io::{Cursor, Read};

use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;
use zip::result::ZipError;

use self::xml::{
    Styles, attribute, core_title, named_level, outline_level, reference, styles, walk,
};
use super::output::{Output, heading_name};
use super::{ExtractError, Extracted, Limits, Rejection, text, zip_guard};

const STYLES: &str = "word/styles.xml";
const PROPERTIES: &str = "docProps/core.xml";

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Unpacks the parts that will be read, up to what they declare: a part that goes on is a bomb.
pub(super) fn verify_sizes(bytes: &[u8]) -> Result<(), Rejection> {
    let mut archive = open(bytes)?;
    for name in parts(&archive) {
        let Some(index) = archive.index_for_name(&name) else {
            continue;
        };
        let mut part = archive
            .by_index(index)
            .map_err(|_| Rejection::Malformed("an entry cannot be read"))?;
        let declared = part.size();
        let mut limited = (&mut part).take(declared.saturating_add(1));
        let unpacked = std::io::copy(&mut limited, &mut std::io::sink())
            .map_err(|_| Rejection::Malformed("an entry cannot be unpacked"))?;
        if unpacked > declared {
            return Err(Rejection::ZipBomb(
                "an entry unpacks to more than it declares",
            ));
        }
    }
    Ok(())
}

/// The paragraphs of the main document: headings by style, lists, tables as rows.
///
/// Hidden and deleted text is left out. A document type is refused, so that no entity is ever
/// expanded and nothing external is ever looked at.
pub(super) fn extract(bytes: &[u8], limits: Limits) -> Result<Extracted, ExtractError> {
    zip_guard::check(bytes)?;
    let mut archive = open(bytes)?;
    let styles = match read_part(&mut archive, STYLES, limits)? {
        Some(xml) => styles(&xml)?,
        None => Styles::new(),
    };
    let title = match read_part(&mut archive, PROPERTIES, limits)? {
        Some(xml) => core_title(&xml)?,
        None => None,
    };
    let name = parts(&archive)
        .into_iter()
        .find(|name| zip_guard::is_word_document(name.as_bytes()))
        .unwrap_or_default();
    let Some(xml) = read_part(&mut archive, &name, limits)? else {
        return Err(ExtractError::Damaged(
            "the archive holds no Word document".to_owned(),
        ));
    };
    let mut body = Body::new(&styles, Output::new(bytes.len(), limits));
    body.read(&xml)?;
    let title = title.or(body.title.take());
    body.output.finish(title)
}

fn open(bytes: &[u8]) -> Result<Archive<'_>, Rejection> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|error| match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => Rejection::Encrypted,
        _ => Rejection::Malformed("the archive cannot be read"),
    })
}

/// Names of the parts that are read, `word/document.xml` before its numbered kin.
fn parts(archive: &Archive<'_>) -> Vec<String> {
    let mut names: Vec<String> = archive
        .file_names()
        .filter_map(Result::ok)
        .filter(|name| {
            zip_guard::is_word_document(name.as_bytes()) || matches!(&**name, STYLES | PROPERTIES)
        })
        .map(std::borrow::Cow::into_owned)
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

fn read_part(
    archive: &mut Archive<'_>,
    name: &str,
    limits: Limits,
) -> Result<Option<String>, ExtractError> {
    // Markup around the words: a part may be several times as long as its text.
    let cap = (limits.max_output_bytes as u64).saturating_mul(4);
    let Some(index) = archive.index_for_name(name) else {
        return Ok(None);
    };
    let part = archive
        .by_index(index)
        .map_err(|error| ExtractError::Damaged(error.to_string()))?;
    let mut xml = Vec::new();
    part.take(cap + 1)
        .read_to_end(&mut xml)
        .map_err(|error| ExtractError::Damaged(format!("`{name}` cannot be unpacked: {error}")))?;
    if xml.len() as u64 > cap {
        return Err(ExtractError::TooLarge(format!(
            "`{name}` unpacks to more than {cap} bytes"
        )));
    }
    Ok(Some(text::decode(&xml)?.into_owned()))
}

/// What the reader is inside of, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    ParagraphProperties,
    RunProperties,
    Text,
}

/// One open table: the cells of its present row.
#[derive(Default)]
struct Table {
    row: Vec<String>,
    cell: String,
}

struct Body<'a> {
    styles: &'a Styles,
    output: Output,
    title: Option<String>,
    paragraph: String,
    level: Option<u8>,
    is_item: bool,
    place: Place,
    is_hidden: bool,
    /// Open elements below one that is left out, itself included.
    left_out: usize,
    tables: Vec<Table>,
}

impl<'a> Body<'a> {
    fn new(styles: &'a Styles, output: Output) -> Self {
        Self {
            styles,
            output,
            title: None,
            paragraph: String::new(),
            level: None,
            is_item: false,
            place: Place::Elsewhere,
            is_hidden: false,
            left_out: 0,
            tables: Vec::new(),
        }
    }

    fn read(&mut self, xml: &str) -> Result<(), ExtractError> {
        walk(xml, |event| {
            match event {
                Event::Start(_) if self.left_out > 0 => self.left_out += 1,
                Event::End(_) if self.left_out > 0 => self.left_out -= 1,
                Event::Start(element) => self.start(&element)?,
                Event::End(element) => self.end(element.local_name().as_ref())?,
                Event::Text(text) if self.takes_text() => {
                    self.paragraph.push_str(&text.xml10_content());
                }
                Event::CData(text) if self.takes_text() => {
                    self.paragraph.push_str(&text.xml10_content());
                }
                Event::GeneralRef(entity) if self.takes_text() => {
                    self.paragraph.extend(reference(&entity));
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn takes_text(&self) -> bool {
        self.place == Place::Text && !self.is_hidden && self.left_out == 0
    }

    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), ExtractError> {
        match element.local_name().as_ref() {
            // Alternatives repeat their content; moved and deleted text is elsewhere or gone.
            "Fallback" | "del" | "moveFrom" | "instrText" | "delText" => self.left_out = 1,
            "p" => self.end_paragraph()?,
            "pPr" => self.place = Place::ParagraphProperties,
            // Those of a paragraph's own mark say nothing about its text.
            "rPr" if self.place != Place::ParagraphProperties => {
                self.place = Place::RunProperties;
            }
            "pStyle" => {
                if let Some(id) = attribute(element, "val") {
                    self.level = self.styles.get(&id).copied().or_else(|| named_level(&id));
                }
            }
            "outlineLvl" if self.place == Place::ParagraphProperties => {
                self.level = outline_level(element).or(self.level);
            }
            "numPr" if self.place == Place::ParagraphProperties => self.is_item = true,
            "r" => self.is_hidden = false,
            "vanish" if self.place == Place::RunProperties => {
                let value = attribute(element, "val");
                self.is_hidden = !matches!(value.as_deref(), Some("0" | "false" | "off"));
            }
            "t" => self.place = Place::Text,
            "tab" | "ptab" if self.place == Place::Elsewhere && !self.is_hidden => {
                self.paragraph.push('\t');
            }
            "br" | "cr" if !self.is_hidden => self.paragraph.push('\n'),
            "noBreakHyphen" if !self.is_hidden => self.paragraph.push('\u{2011}'),
            "tbl" => {
                self.end_paragraph()?;
                self.tables.push(Table::default());
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), ExtractError> {
        match name {
            "rPr" if self.place == Place::ParagraphProperties => {}
            "pPr" | "rPr" | "t" => self.place = Place::Elsewhere,
            "p" => self.end_paragraph()?,
            "tc" => {
                self.end_paragraph()?;
                if let Some(table) = self.tables.last_mut() {
                    let cell = std::mem::take(&mut table.cell);
                    table.row.push(cell);
                }
            }
            "tr" => self.end_row()?,
            "tbl" => {
                self.end_row()?;
                self.tables.pop();
                if self.tables.is_empty() {
                    self.output.end_block()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_paragraph(&mut self) -> Result<(), ExtractError> {
        let level = self.level.take();
        let is_item = std::mem::take(&mut self.is_item);
        let paragraph = std::mem::take(&mut self.paragraph);
        let words = paragraph.trim();
        if words.is_empty() {
            return Ok(());
        }
        if let Some(table) = self.tables.last_mut() {
            append_words(&mut table.cell, words);
            return Ok(());
        }
        if let Some(level) = level {
            if level == 0 && self.title.is_none() {
                self.title = Some(heading_name(words));
            }
            self.output.open_heading(level.clamp(1, 6))?;
            self.output.push_collapsed(words)?;
            return self.output.close_heading();
        }
        if is_item {
            self.output.end_line()?;
            self.output.push("- ")?;
            self.output.push(words)?;
            return self.output.end_line();
        }
        self.output.end_block()?;
        self.output.push(words)?;
        self.output.end_block()
    }

    /// A row of an inner table becomes part of the outer cell.
    fn end_row(&mut self) -> Result<(), ExtractError> {
        let Some(table) = self.tables.last_mut() else {
            return Ok(());
        };
        let row = std::mem::take(&mut table.row);
        if row.iter().all(String::is_empty) {
            return Ok(());
        }
        let outer = self
            .tables
            .len()
            .checked_sub(2)
            .and_then(|at| self.tables.get_mut(at));
        if let Some(outer) = outer {
            for cell in row.iter().filter(|cell| !cell.is_empty()) {
                append_words(&mut outer.cell, cell);
            }
            return Ok(());
        }
        self.output.end_line()?;
        self.output.push("| ")?;
        self.output.push(&row.join(" | "))?;
        self.output.push(" |")?;
        self.output.end_line()
    }
}

fn append_words(cell: &mut String, words: &str) {
    for word in words.split_whitespace() {
        if !cell.is_empty() {
            cell.push(' ');
        }
        cell.push_str(word);
    }
}
