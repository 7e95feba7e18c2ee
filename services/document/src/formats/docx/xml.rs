//! The XML of an Office file, event by event.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::formats::ExtractError;
use crate::formats::output::heading_name;

/// Deepest nesting of XML elements.
const MAX_DEPTH: usize = 256;

/// Calls `visit` for every event; refuses document types, depth and broken XML.
pub(super) fn walk(
    xml: &str,
    mut visit: impl FnMut(Event<'_>) -> Result<(), ExtractError>,
) -> Result<(), ExtractError> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut depth = 0_usize;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| ExtractError::Damaged(format!("broken XML: {error}")))?;
        match event {
            Event::Eof if depth > 0 => {
                return Err(ExtractError::Damaged(
                    "broken XML: it ends too early".to_owned(),
                ));
            }
            Event::Eof => return Ok(()),
            Event::DocType(_) => {
                return Err(ExtractError::Damaged(
                    "a document type is not allowed".to_owned(),
                ));
            }
            Event::Start(_) if depth >= MAX_DEPTH => return Err(ExtractError::TooDeep),
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        visit(event)?;
    }
}

/// The value of an attribute, whatever its namespace.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    element
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)
        .map(|attribute| attribute.value.into_owned())
}

/// The text of a reference: characters and the five names of XML; other entities are dropped.
pub(super) fn reference(entity: &BytesRef<'_>) -> Option<char> {
    if let Ok(Some(letter)) = entity.resolve_char_ref() {
        return Some(letter).filter(|letter| *letter != '\0');
    }
    match &*entity.xml10_content() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// Heading level by style id; 0 stands for the title.
pub(super) type Styles = HashMap<String, u8>;

/// The styles that make headings.
pub(super) fn styles(xml: &str) -> Result<Styles, ExtractError> {
    let mut found = Styles::new();
    let mut current: Option<String> = None;
    walk(xml, |event| {
        match event {
            Event::Start(element) => match element.local_name().as_ref() {
                "style" => current = attribute(&element, "styleId"),
                "name" => {
                    if let (Some(id), Some(level)) = (
                        &current,
                        attribute(&element, "val").as_deref().and_then(named_level),
                    ) {
                        found.insert(id.clone(), level);
                    }
                }
                "outlineLvl" => {
                    if let (Some(id), Some(level)) = (&current, outline_level(&element)) {
                        found.entry(id.clone()).or_insert(level);
                    }
                }
                _ => {}
            },
            Event::End(element) if element.local_name().as_ref() == "style" => current = None,
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

/// The level that a style's name says.
pub(super) fn named_level(name: &str) -> Option<u8> {
    let name = name.to_lowercase().replace(' ', "");
    if matches!(&*name, "title" | "заголовок" | "название") {
        return Some(0);
    }
    let level = name
        .strip_prefix("heading")
        .or_else(|| name.strip_prefix("заголовок"))?;
    level.parse().ok().filter(|level| (1..=9).contains(level))
}

/// The level that an outline element says.
pub(super) fn outline_level(element: &BytesStart<'_>) -> Option<u8> {
    attribute(element, "val")?
        .parse()
        .ok()
        .filter(|level| *level < 9)
        .map(|level: u8| level + 1)
}

/// The title among the properties.
pub(super) fn core_title(xml: &str) -> Result<Option<String>, ExtractError> {
    let mut title = String::new();
    let mut inside = false;
    walk(xml, |event| {
        match event {
            Event::Start(element) => inside = element.local_name().as_ref() == "title",
            Event::End(_) => inside = false,
            Event::Text(text) if inside => title.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) if inside => title.extend(reference(&entity)),
            _ => {}
        }
        Ok(())
    })?;
    let title = heading_name(&title);
    Ok(Some(title).filter(|title| !title.is_empty()))
}
