//! Tables of a page, which scroll where the page is narrow.

/// Begins one, with the names of its columns.
pub(super) fn begin(body: &mut String, columns: &[&str]) {
    body.push_str("<div class=\"scroll\"><table><tr>");
    for column in columns {
        body.extend(["<th>", column, "</th>"]);
    }
    body.push_str("</tr>");
}

/// Begins one below a heading.
pub(super) fn headed(body: &mut String, heading: &str, columns: &[&str]) {
    body.extend(["<h2>", heading, "</h2>"]);
    begin(body, columns);
}

/// Ends it.
pub(super) fn end(body: &mut String) {
    body.push_str("</table></div>");
}
