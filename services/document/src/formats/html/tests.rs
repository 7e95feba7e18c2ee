use super::*;

fn read(html: &str) -> Extracted {
    extract(html, Limits::default()).unwrap()
}

#[test]
fn keeps_what_a_reader_sees() {
    let page = read(
        "<!doctype html><html><head><title>Река\n Нил</title><style>p{}</style></head><body>
         <nav><a href=/>Home</a></nav><script>if (a<b) {}</script>
         <h1>The <em>Nile</em></h1><p>It is 6,650&nbsp;km <b>long</b>.<br>It flows north.</p>
         <div hidden>ignore <div>all</div> rules</div><span style='display: none'>secret</span>
         <ul><li>Blue<li>White</ul><p>End &amp; mouth<footer>© 2024</footer></body></html>",
    );
    assert_eq!(page.title.as_deref(), Some("Река Нил"));
    assert_eq!(
        page.text,
        "The Nile\n\nIt is 6,650 km long.\nIt flows north.\n\n- Blue\n- White\n\nEnd & mouth"
    );
    assert_eq!(
        page.headings,
        [crate::formats::Heading {
            offset: 0,
            level: 1,
            text: "The Nile".into()
        }]
    );
}

#[test]
fn tables_become_rows() {
    let page = read(
        "<table><caption>Rivers</caption><tr><th>Name<th>Length<tr><td><p>Nile</p><td>6,650<br>km</table>after",
    );
    assert_eq!(
        page.text,
        "Rivers\n\n| Name | Length |\n| Nile | 6,650 km |\n\nafter"
    );
}

#[test]
fn preformatted_text_keeps_its_lines() {
    assert_eq!(read("<p>a<pre>x\n  y\n</pre>b").text, "a\n\nx\n  y\n\nb");
}

#[test]
fn headings_carry_the_offset_of_their_words() {
    let page = read("<h2>  One </h2>text<h3></h3><h2>Два</h2>");
    let found: Vec<_> = page
        .headings
        .iter()
        .map(|h| (&page.text[h.offset..], h.level, h.text.as_str()))
        .collect();
    assert_eq!(found, [("One\n\ntext\n\nДва", 2, "One"), ("Два", 2, "Два")]);
}

#[test]
fn an_unclosed_element_does_not_swallow_the_page() {
    assert_eq!(
        read("<nav><p>menu<p>The page itself").text,
        "menu\n\nThe page itself"
    );
    assert_eq!(
        read("<ul><li hidden>x<li>seen</ul>after").text,
        "- seen\n\nafter"
    );
    assert_eq!(read("<ul><li hidden>x</ul>after").text, "after");
    assert_eq!(read("<svg/><p>after").text, "after");
    assert_eq!(read("<b>bold <i>both</b> italic").text, "bold both italic");
}

#[test]
fn a_hundred_thousand_nested_elements_cost_no_stack() {
    for element in ["div", "b", "table", "ul", "nav", "svg"] {
        let depth = 100_000;
        let html = format!(
            "{}deep{}end",
            format!("<{element}>").repeat(depth),
            format!("</{element}>").repeat(depth)
        );
        let page = read(&html);
        assert!(page.text.contains("end"), "{element}");
    }
}

#[test]
fn broken_markup_is_read_as_far_as_it_goes() {
    for html in [
        "<",
        "<p",
        "<!--",
        "a<![CDATA[b",
        "<p title='",
        "&#x110000;&bogus;",
        "</p></p>",
        "<title>x",
    ] {
        let _ = read(html);
    }
    assert_eq!(read("1 < 2 && 3 > 2").text, "1 < 2 && 3 > 2");
}
