//! Markdown of scenario authors as HTML: paragraphs, lists, emphasis, code, tables and headings; nothing else gets through.
//!
//! Raw HTML is shown as text. Links and images become their text with the address behind it, so that the report asks for nothing
//! from outside and has no address that runs script.

use pulldown_cmark::{Alignment, CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// `markdown` as HTML that is safe to embed. Headings start at `<h4>`, below the report's own.
pub fn to_html(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() * 2);
    let mut addresses: Vec<String> = Vec::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => addresses.push(dest_url.to_string()),
            Event::End(TagEnd::Link | TagEnd::Image) => {
                let address = addresses.pop().unwrap_or_default();
                if !address.is_empty() && !out.ends_with(&escaped(&address)) {
                    out.push_str(&format!(" (<span class=\"address\">{}</span>)", escaped(&address)));
                }
            }
            Event::Start(tag) => out.push_str(&opening(&tag)),
            Event::End(tag) => out.push_str(closing(tag)),
            Event::Code(code) => out.push_str(&format!("<code>{}</code>", escaped(&code))),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                out.push_str(&escaped(&text));
            }
            Event::SoftBreak => out.push('\n'),
            Event::HardBreak => out.push_str("<br>\n"),
            Event::Rule => out.push_str("<hr>\n"),
            Event::FootnoteReference(_) | Event::TaskListMarker(_) => {}
        }
    }
    out
}

fn opening(tag: &Tag<'_>) -> String {
    match tag {
        Tag::Paragraph => "<p>".to_owned(),
        Tag::Heading { level, .. } => format!("<{}>", heading(*level)),
        Tag::BlockQuote(_) => "<blockquote>".to_owned(),
        Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => "<pre tabindex=\"0\"><code>".to_owned(),
        Tag::List(None) => "<ul>\n".to_owned(),
        Tag::List(Some(1)) => "<ol>\n".to_owned(),
        Tag::List(Some(start)) => format!("<ol start=\"{start}\">\n"),
        Tag::Item => "<li>".to_owned(),
        Tag::Emphasis => "<em>".to_owned(),
        Tag::Strong => "<strong>".to_owned(),
        Tag::Strikethrough => "<del>".to_owned(),
        Tag::Table(columns) => {
            let numeric = columns.first() == Some(&Alignment::Right);
            format!("<div class=\"scroll\" tabindex=\"0\"><table{}>", if numeric { " class=\"right\"" } else { "" })
        }
        Tag::TableHead => "<thead><tr>".to_owned(),
        Tag::TableRow => "<tr>".to_owned(),
        Tag::TableCell => "<td>".to_owned(),
        _ => String::new(),
    }
}

fn closing(tag: TagEnd) -> &'static str {
    match tag {
        TagEnd::Paragraph => "</p>\n",
        TagEnd::Heading(HeadingLevel::H1 | HeadingLevel::H2) => "</h4>\n",
        TagEnd::Heading(_) => "</h5>\n",
        TagEnd::BlockQuote(_) => "</blockquote>\n",
        TagEnd::CodeBlock => "</code></pre>\n",
        TagEnd::List(false) => "</ul>\n",
        TagEnd::List(true) => "</ol>\n",
        TagEnd::Item => "</li>\n",
        TagEnd::Emphasis => "</em>",
        TagEnd::Strong => "</strong>",
        TagEnd::Strikethrough => "</del>",
        TagEnd::Table => "</table></div>\n",
        TagEnd::TableHead => "</tr></thead>\n",
        TagEnd::TableRow => "</tr>\n",
        TagEnd::TableCell => "</td>",
        _ => "",
    }
}

fn heading(level: HeadingLevel) -> &'static str {
    match level {
        HeadingLevel::H1 | HeadingLevel::H2 => "h4",
        _ => "h5",
    }
}

/// Text that is safe in HTML, also within attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::to_html;

    #[test]
    fn prose_becomes_html() {
        assert_eq!(
            to_html("A `b < c` and **d**:\n\n- one\n- two\n"),
            "<p>A <code>b &lt; c</code> and <strong>d</strong>:</p>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"
        );
    }

    #[test]
    fn raw_html_and_addresses_are_only_text() {
        let html =
            to_html("<script>alert(1)</script>\n\nx <img src=x onerror=alert(1)> [y](javascript:alert(1)) ![z](https://example.org/z.png)");
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("href") && !html.contains("src=\""), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains("y (<span class=\"address\">javascript:alert(1)</span>)"), "{html}");
    }

    #[test]
    fn a_bare_address_is_not_said_twice() {
        assert_eq!(to_html("<https://a.example/b>"), "<p>https://a.example/b</p>\n");
    }
}
