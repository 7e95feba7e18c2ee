//! What the names of HTML mean for a reader.

use html5ever::tokenizer::Tag;
use html5ever::tokenizer::states::RawKind;

/// Whether an attribute hides its element.
pub(super) fn hides(name: &str, value: &str) -> bool {
    match name {
        "hidden" => !value.eq_ignore_ascii_case("until-found"),
        "aria-hidden" => value.eq_ignore_ascii_case("true"),
        "style" => {
            let style: String = value
                .chars()
                .filter(|c| !c.is_whitespace())
                .flat_map(char::to_lowercase)
                .collect();
            style.contains("display:none")
                || style.contains("visibility:hidden")
                || style
                    .split(';')
                    .any(|rule| matches!(rule, "font-size:0" | "font-size:0px" | "opacity:0"))
        }
        _ => false,
    }
}

/// How the content of an element is tokenized, if not as markup.
pub(super) fn raw_kind(name: &str) -> Option<RawKind> {
    Some(match name {
        "title" | "textarea" => RawKind::Rcdata,
        "style" | "iframe" | "xmp" | "noembed" | "noframes" => RawKind::Rawtext,
        "script" => RawKind::ScriptData,
        _ => return None,
    })
}

/// The level of a heading element.
pub(super) fn heading_level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

/// Elements that surround the content of a page.
pub(super) fn is_navigation(name: &str) -> bool {
    matches!(name, "nav" | "footer")
}

/// Lists and tables: they close what is open inside of them.
pub(super) fn is_container(name: &str) -> bool {
    matches!(name, "ul" | "ol" | "dl" | "table" | "menu")
}

/// Elements whose end tag may be left out.
pub(super) fn ends_by_sibling(name: &str) -> bool {
    matches!(
        name,
        "li" | "p" | "td" | "th" | "tr" | "dt" | "dd" | "option"
    )
}

/// Elements of other languages that may end at once.
pub(super) fn is_foreign_self_closing(tag: &Tag) -> bool {
    tag.self_closing && matches!(&*tag.name, "svg" | "math")
}

/// Elements without content.
pub(super) fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
    )
}

/// Elements that start and end a paragraph.
pub(super) fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "details"
            | "dialog"
            | "div"
            | "dl"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "header"
            | "hgroup"
            | "hr"
            | "html"
            | "legend"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "p"
            | "search"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "tfoot"
            | "thead"
            | "ul"
    )
}
